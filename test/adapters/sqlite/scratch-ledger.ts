/** A ledger file in a folder of its own, and ways to look at it and harm it from outside. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { type LedgerStoreInit, openLedgerStore } from '#adapters/sqlite/open-ledger-store.ts'
import type { LedgerVerdict } from '#contracts/api/ledger.ts'
import type { SessionRecord } from '#contracts/receipt/ledger-entry.ts'
import { verifyChain } from '#core/ledger/verify-chain.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'
import { knownIdentity, sessionRecord } from '#test/core/ledger/known-ledger.ts'
import { createFakeClock } from '#test/fakes/clock.ts'

export interface ScratchLedger {
  readonly folder: string
  readonly file: string
  open(init?: Partial<LedgerStoreInit>): LedgerStore
  /** Opens, appends, closes. */
  fill(entries: number, changes?: Partial<SessionRecord>): Promise<void>
  verdict(store: LedgerStore): Promise<LedgerVerdict>
  /** Runs SQL on the file as somebody without our rules would: past triggers and checks, covering the traces. */
  tamper(sql: string): void
  remove(): Promise<void>
}

const identity = await knownIdentity()

export function createScratchLedger(): ScratchLedger {
  const folder = mkdtempSync(join(tmpdir(), 'quiltbee-ledger-'))
  const file = join(folder, 'ledger.db')
  const opened: LedgerStore[] = []

  function open(init: Partial<LedgerStoreInit> = {}): LedgerStore {
    const store = openLedgerStore({ file, identity, clock: createFakeClock(), ...init })
    opened.push(store)
    return store
  }

  return {
    folder,
    file,
    open,
    async fill(entries, changes = {}) {
      const store = open()
      for (let number = 0; number < entries; number += 1) {
        await store.append(sessionRecord({ sessionId: crypto.randomUUID(), tokensOut: number, ...changes }))
      }
      await store.close()
    },
    async verdict(store) {
      const expectedHead = await store.head()
      return verifyChain(store.entries(), {
        verifier: createSignatureVerifier(),
        peerId: identity.peerId,
        expectedHead,
      })
    },
    tamper(sql) {
      const database = new Database(file)
      const triggers = database
        .prepare<[], { name: string; sql: string }>("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .all()
      for (const trigger of triggers) database.exec(`DROP TRIGGER ${trigger.name}`)
      database.pragma('ignore_check_constraints = ON')
      database.exec(sql)
      for (const trigger of triggers) database.exec(trigger.sql)
      database.close()
    },
    async remove() {
      for (const store of opened) await store.close()
      rmSync(folder, { recursive: true })
    },
  }
}
