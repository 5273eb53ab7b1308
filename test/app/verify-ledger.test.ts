import { expect, test } from 'vitest'
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { verifyLedger } from '#app/verify-ledger.ts'
import { digestSchema } from '#contracts/digest.ts'
import { createInMemoryLedgerStore } from '#test/fakes/in-memory-ledger-store.ts'

const entryCount = 400

/** A ledger of `entryCount` entries that counts how many of them are read, giving others a turn before each. */
async function countedLedger() {
  const identity = await createMemoryIdentity()
  const store = createInMemoryLedgerStore({ identity })
  for (let index = 0; index < entryCount; index++) {
    await store.append({
      kind: 'used',
      sessionId: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
      peerId: identity.peerId,
      modelDigest: digestSchema.parse('a'.repeat(64)),
      span: { start: 0, end: 1 },
      ...{ tokensIn: 1, tokensOut: 1, bytesReceived: 0, bytesSent: 0, startedAtMs: index, durationMs: 1 },
      outcome: 'completed',
    })
  }
  const read = { entries: 0, ended: false }
  async function* entries() {
    try {
      for await (const entry of store.entries()) {
        read.entries += 1
        await new Promise((turned) => setImmediate(turned))
        yield entry
      }
    } finally {
      read.ended = true
    }
  }
  return { ledger: { ...store, entries }, verifier: createSignatureVerifier(), peerId: identity.peerId, read }
}

test('tells how far it is on the way, and the verdict at the end', async () => {
  const { read, ...components } = await countedLedger()
  const events = []
  for await (const event of verifyLedger(components)) events.push(event)
  expect(events.filter(({ type }) => type === 'progress').length).toBeGreaterThan(2)
  expect(events.at(-1)).toMatchObject({ type: 'verdict', verdict: { kind: 'intact', entries: entryCount } })
  expect(read).toEqual({ entries: entryCount, ended: true })
})

test('stops reading when nobody listens any more', async () => {
  const { read, ...components } = await countedLedger()
  for await (const _ of verifyLedger(components)) break
  await expect.poll(() => read.ended).toBe(true)
  expect(read.entries).toBeLessThan(entryCount)
})
