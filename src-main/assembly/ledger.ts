import { createDataDirectory, type DataDirectory } from '#adapters/files/data-directory.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import type { KeyedIdentity } from '#adapters/keys/identity.ts'
import { loadOrCreateIdentity } from '#adapters/keys/identity-file.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { openLedgerStore } from '#adapters/sqlite/open-ledger-store.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'

export interface OpenLedger extends AsyncDisposable {
  readonly ledger: LedgerStore
  readonly identity: KeyedIdentity
  readonly peerId: string
  readonly verifier: SignatureVerifier
}

/** A profile's ledger on its own, for reading and checking it whether a node runs or not. */
export async function openLedger(directory: DataDirectory): Promise<OpenLedger> {
  createDataDirectory(directory)
  const identity = await loadOrCreateIdentity(directory.profileDirectory)
  const ledger = openLedgerStore({ file: directory.ledgerFile, identity, clock: systemClock })
  return {
    ledger,
    identity,
    peerId: identity.peerId,
    verifier: createSignatureVerifier(),
    [Symbol.asyncDispose]: () => ledger.close(),
  }
}
