import type { LedgerVerifyEvent } from '#contracts/api/ledger.ts'
import { verifyChain } from '#core/ledger/verify-chain.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'
import { workEvents } from './work-events.ts'

/** Walks the whole chain; yields how far it is now and then, and the verdict at the end. Stops when its reader leaves. */
export function verifyLedger(
  components: { ledger: LedgerStore; verifier: SignatureVerifier; peerId: string },
  signal?: AbortSignal,
): AsyncGenerator<LedgerVerifyEvent, void, undefined> {
  const { ledger, verifier, peerId } = components
  return workEvents<LedgerVerifyEvent>(async (tell, stop) => {
    const expectedHead = await ledger.head()
    const total = await ledger.count()
    const verdict = await verifyChain(ledger.entries(), {
      verifier,
      peerId,
      expectedHead,
      onProgress: (checked) => tell({ type: 'progress', checked, total: Math.max(total, checked) }),
      signal: stop,
    })
    tell({ type: 'verdict', verdict })
  }, signal)
}
