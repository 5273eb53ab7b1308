import { describeLedgerStore } from '#test/compliance/ledger-store.ts'
import { knownIdentity } from '#test/core/ledger/known-ledger.ts'
import { createInMemoryLedgerStore, createKeptLedger } from '#test/fakes/in-memory-ledger-store.ts'

describeLedgerStore('the in-memory fake', async () => {
  const identity = await knownIdentity()
  const kept = createKeptLedger()
  const processes = new Map<object, object>()
  return {
    identity,
    async open() {
      const process = {}
      const store = createInMemoryLedgerStore({ identity, kept, process })
      processes.set(store, process)
      return store
    },
    async kill(store) {
      kept.alive.delete(processes.get(store) ?? {})
    },
    async cleanUp() {},
  }
})
