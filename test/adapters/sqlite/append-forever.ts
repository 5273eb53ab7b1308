/**
 * A process of its own that appends until it is killed, or as often as it is told, and prints each sequence number once
 * the ledger has acknowledged it. Arguments: database file, number of appends (optional).
 */
import { writeSync } from 'node:fs'
import { openLedgerStore } from '#adapters/sqlite/open-ledger-store.ts'
import { knownIdentity, sessionRecord } from '#test/core/ledger/known-ledger.ts'

const [file = '', times = 'Infinity'] = process.argv.slice(2)
const store = openLedgerStore({
  file,
  identity: await knownIdentity(),
  clock: { now: () => Date.now(), monotonicMs: () => performance.now() },
})
for (let number = 0; number < Number(times); number += 1) {
  const sessionId = crypto.randomUUID()
  await store.journal(sessionRecord({ sessionId, tokensOut: number }))
  const { sequence } = await store.append(sessionRecord({ sessionId, tokensOut: number }))
  writeSync(1, `${sequence}\n`)
}
await store.journal(sessionRecord({ sessionId: crypto.randomUUID() }))
await store.close()
