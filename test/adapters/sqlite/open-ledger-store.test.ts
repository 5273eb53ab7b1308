import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLedgerStore } from '#adapters/sqlite/open-ledger-store.ts'
import type { ProcessOwner } from '#adapters/sqlite/processes.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'
import { describeLedgerStore } from '#test/compliance/ledger-store.ts'
import { knownIdentity } from '#test/core/ledger/known-ledger.ts'
import { createFakeClock } from '#test/fakes/clock.ts'

describeLedgerStore('SQLite', async () => {
  const identity = await knownIdentity()
  const folder = mkdtempSync(join(tmpdir(), 'quiltbee-ledger-'))
  const owners = new Map<LedgerStore, ProcessOwner>()
  const alive = new Set<string>()
  return {
    identity,
    async open() {
      const self = { pid: owners.size + 1, start: 'known' }
      alive.add(String(self.pid))
      const store = openLedgerStore({
        file: join(folder, 'ledger.db'),
        identity,
        clock: createFakeClock(),
        processes: { self, isAlive: ({ pid }) => alive.has(String(pid)) },
      })
      owners.set(store, self)
      return store
    },
    // The connection stays open, as a killed process would leave its files: nothing is checkpointed or tidied.
    async kill(store) {
      alive.delete(String(owners.get(store)?.pid))
    },
    async cleanUp() {
      for (const store of owners.keys()) await store.close()
      rmSync(folder, { recursive: true })
    },
  }
})
