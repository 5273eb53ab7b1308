/** What every ledger store does, whatever it keeps its entries in. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import type { SessionRecord, SignedLedgerEntry } from '#contracts/receipt/ledger-entry.ts'
import { verifyChain } from '#core/ledger/verify-chain.ts'
import type { Identity } from '#core/ports/keys.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'
import { sessionRecord } from '#test/core/ledger/known-ledger.ts'

/** One ledger and the processes that open it. */
export interface LedgerStoreHarness {
  readonly identity: Identity
  /** Opens the ledger as another process would; those opened before stay open. */
  open(): Promise<LedgerStore>
  /** The process that opened `store` dies at once: nothing is closed or flushed. */
  kill(store: LedgerStore): Promise<void>
  /** Closes everything and removes what was made. */
  cleanUp(): Promise<void>
}

export function describeLedgerStore(name: string, createHarness: () => Promise<LedgerStoreHarness>): void {
  describe(`${name}, as a ledger store`, () => {
    let harness: LedgerStoreHarness
    let store: LedgerStore

    beforeEach(async () => {
      harness = await createHarness()
      store = await harness.open()
    })

    afterEach(() => harness.cleanUp())

    const all = async (from = store) => {
      const entries: SignedLedgerEntry[] = []
      for await (const entry of from.entries()) entries.push(entry)
      return entries
    }

    const verdict = async (of = store) =>
      verifyChain(of.entries(), {
        verifier: createSignatureVerifier(),
        peerId: harness.identity.peerId,
        expectedHead: await of.head(),
      })

    const session = (number: number, changes: Partial<SessionRecord> = {}) =>
      sessionRecord({ sessionId: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`, ...changes })

    it('is empty at first', async () => {
      expect(await store.count()).toBe(0)
      expect(await store.head()).toBeNull()
      expect(await store.page({ limit: 10 })).toEqual({ entries: [], next: null })
      expect(await verdict()).toEqual({ kind: 'intact', entries: 0, headHash: null })
    })

    it('numbers, chains and signs what is appended', async () => {
      const first = await store.append(session(1))
      const second = await store.append(session(2))
      expect(first).toMatchObject({ ...session(1), sequence: 0, version: 1 })
      expect(second).toMatchObject({ ...session(2), sequence: 1, previousHash: first.hash })
      expect(await all()).toEqual([first, second])
      expect(await verdict()).toEqual({ kind: 'intact', entries: 2, headHash: second.hash })
    })

    it('chains appends in the order they were asked for, even at once', async () => {
      const appended = await Promise.all([1, 2, 3, 4, 5].map((number) => store.append(session(number))))
      expect(appended.map((entry) => entry.sequence)).toEqual([0, 1, 2, 3, 4])
      expect((await all()).map((entry) => entry.sessionId)).toEqual(appended.map((entry) => entry.sessionId))
      expect(await verdict()).toMatchObject({ kind: 'intact', entries: 5 })
    })

    it('keeps entries when it is closed and opened again', async () => {
      const entry = await store.append(session(1))
      await store.close()
      const reopened = await harness.open()
      expect(await all(reopened)).toEqual([entry])
      expect(await reopened.append(session(2))).toMatchObject({ sequence: 1, previousHash: entry.hash })
    })

    it('keeps the newest seal apart from the entries', async () => {
      await store.append(session(1))
      const { sequence, hash, signature } = await store.append(session(2))
      expect(await store.head()).toEqual({ sequence, hash, signature })
    })

    it('shows what another process appended, and goes on from there', async () => {
      const other = await harness.open()
      const first = await store.append(session(1))
      const second = await other.append(session(2))
      const third = await store.append(session(3))
      expect([second.previousHash, third.previousHash]).toEqual([first.hash, second.hash])
      expect(await all(other)).toEqual([first, second, third])
    })

    it.each([
      ['a negative count', { tokensIn: -1 }],
      ['not a number', { durationMs: Number.NaN }],
      ['a field too many', { credit: 1 }],
    ])('refuses a record with %s, and goes on with the next', async (_, changes) => {
      const bad = store.append({ ...session(1), ...changes })
      const good = store.append(session(2))
      await expect(bad).rejects.toMatchObject({ code: 'invalid-input' })
      expect(await good).toMatchObject({ sequence: 0 })
      await expect(store.journal({ ...session(3), ...changes })).rejects.toMatchObject({ code: 'invalid-input' })
    })

    it('pages from the newest to the oldest', async () => {
      for (let number = 0; number < 5; number += 1) await store.append(session(number))
      const sequences = async (options: { before?: number; limit: number }) => {
        const page = await store.page(options)
        return [...page.entries.map((entry) => entry.sequence), page.next]
      }
      expect(await sequences({ limit: 2 })).toEqual([4, 3, 3])
      expect(await sequences({ limit: 2, before: 3 })).toEqual([2, 1, 1])
      expect(await sequences({ limit: 2, before: 1 })).toEqual([0, null])
      expect(await sequences({ limit: 5 })).toEqual([4, 3, 2, 1, 0, null])
    })

    it('pages through one kind only', async () => {
      await store.append(session(1, { kind: 'used' }))
      await store.append(session(2, { kind: 'served' }))
      await store.append(session(3, { kind: 'used' }))
      const page = await store.page({ limit: 1, kind: 'used' })
      expect(page.entries.map((entry) => entry.sequence)).toEqual([2])
      const rest = await store.page({ limit: 1, kind: 'used', before: page.next ?? 0 })
      expect(rest.entries.map((entry) => entry.sequence)).toEqual([0])
      expect(rest.next).toBeNull()
    })

    it('sums what started at or after a moment', async () => {
      const counts = { tokensIn: 10, tokensOut: 1, bytesReceived: 100, bytesSent: 1000 }
      await store.append(session(1, { ...counts, startedAtMs: 999 }))
      await store.append(session(2, { ...counts, startedAtMs: 1000 }))
      await store.append(session(3, { ...counts, startedAtMs: 2000, kind: 'used', outcome: 'failed' }))
      expect(await store.totals(1000)).toEqual({
        servedSessions: 1,
        servedTokens: 11,
        usedSessions: 1,
        usedTokens: 11,
        bytesReceived: 200,
        bytesSent: 2000,
      })
      expect(await store.totals(0)).toMatchObject({ servedSessions: 2, bytesSent: 3000 })
      expect(await store.totals(3000)).toMatchObject({ servedSessions: 0, usedTokens: 0, bytesReceived: 0 })
    })

    it('turns the notes of a killed process into failed entries, once', async () => {
      await store.journal(session(1, { tokensOut: 5 }))
      await store.journal(session(1, { tokensOut: 9 }))
      await store.journal(session(1, { tokensOut: 2, kind: 'used' }))
      await harness.kill(store)
      const next = await harness.open()
      expect(await next.recover()).toBe(2)
      expect(await next.recover()).toBe(0)
      const recovered = await all(next)
      expect(recovered.map(({ kind, tokensOut, outcome }) => [kind, tokensOut, outcome]).sort()).toEqual([
        ['served', 9, 'failed'],
        ['used', 2, 'failed'],
      ])
      expect(await verdict(next)).toMatchObject({ kind: 'intact', entries: 2 })
    })

    it('has nothing to recover of a session that was appended, even after a late note', async () => {
      await store.journal(session(1))
      await store.append(session(1))
      await store.journal(session(1, { tokensOut: 1 }))
      await harness.kill(store)
      const next = await harness.open()
      expect(await next.recover()).toBe(0)
      expect(await next.count()).toBe(1)
    })

    it('leaves the notes of a process that is alive', async () => {
      const other = await harness.open()
      await store.journal(session(1))
      expect(await other.recover()).toBe(0)
      await store.append(session(1))
      expect(await all(other)).toMatchObject([{ outcome: 'completed' }])
    })

    it('recovers a note once when two processes start together', async () => {
      await store.journal(session(1))
      await harness.kill(store)
      const [one, two] = [await harness.open(), await harness.open()]
      const counts = await Promise.all([one.recover(), two.recover()])
      expect(counts.toSorted()).toEqual([0, 1])
      expect(await one.count()).toBe(1)
    })

    it('refuses work after it was closed, and closes twice without complaint', async () => {
      await store.close()
      await store.close()
      await expect(store.append(session(1))).rejects.toMatchObject({ code: 'storage-failed' })
      await expect(store.count()).rejects.toMatchObject({ code: 'storage-failed' })
    })

    it('finishes what was asked for before it closes', async () => {
      const appended = store.append(session(1))
      await store.close()
      expect(await appended).toMatchObject({ sequence: 0 })
    })
  })
}
