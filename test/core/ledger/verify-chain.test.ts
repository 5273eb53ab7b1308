import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { CodedError } from '#contracts/errors.ts'
import type { SignedLedgerEntry } from '#contracts/receipt/ledger-entry.ts'
import { type VerifyChainOptions, verifyChain } from '#core/ledger/verify-chain.ts'
import { altered, arbitraryRecord, chainOf, knownIdentity, sessionRecord, walk } from './known-ledger.ts'

const identity = await knownIdentity()
const verifier = createSignatureVerifier()
const records = Array.from({ length: 6 }, (_, index) => sessionRecord({ tokensOut: index }))
const chain = await chainOf(records, identity)
const head = chain[5]

const verify = (entries: readonly SignedLedgerEntry[], options: Partial<VerifyChainOptions> = {}) =>
  verifyChain(walk(entries), { verifier, peerId: identity.peerId, ...options })

function replaced(index: number, changes: object): SignedLedgerEntry[] {
  return chain.map((entry, at) => (at === index ? ({ ...entry, ...changes } as SignedLedgerEntry) : entry))
}

describe('verifying a chain', () => {
  it('finds an empty ledger intact', async () => {
    expect(await verify([])).toEqual({ kind: 'intact', entries: 0, headHash: null })
  })

  it('finds an untouched ledger intact, and names its newest hash', async () => {
    const verdict = await verify(chain, { expectedHead: head ?? null })
    expect(verdict).toEqual({ kind: 'intact', entries: 6, headHash: head?.hash })
  })

  it('accepts entries that were added after the head was read', async () => {
    expect(await verify(chain, { expectedHead: chain[3] ?? null })).toMatchObject({ kind: 'intact' })
  })

  it.each(['tokensIn', 'span', 'peerId', 'outcome', 'durationMs', 'startedAtMs'] as const)(
    'notices that %s was changed',
    async (field) => {
      const verdict = await verify(replaced(2, { [field]: altered(chain[2]?.[field]) }))
      expect(verdict).toEqual({ kind: 'broken', sequence: 2, because: 'hash' })
    },
  )

  it('notices an entry taken out of the middle', async () => {
    expect(await verify(chain.toSpliced(2, 1))).toEqual({ kind: 'broken', sequence: 2, because: 'gap' })
  })

  it('notices an entry from another chain', async () => {
    const other = await chainOf(
      records.map((record) => ({ ...record, tokensIn: 1 })),
      identity,
    )
    const mixed = [...chain.slice(0, 3), ...other.slice(3)]
    expect(await verify(mixed)).toEqual({ kind: 'broken', sequence: 3, because: 'chain' })
  })

  it('notices an entry that another key signed', async () => {
    const stranger = await knownIdentity(8)
    const forged = await chainOf(records.slice(4), stranger, chain[3])
    const verdict = await verify([...chain.slice(0, 4), ...forged])
    expect(verdict).toEqual({ kind: 'broken', sequence: 4, because: 'signature' })
  })

  it.each([
    ['a negative count', { tokensIn: -1 }],
    ['a hash of the wrong length', { hash: 'ab' }],
    ['a signature of the wrong length', { signature: new Uint8Array(63) }],
    ['a missing field', { kind: undefined }],
    ['a version it does not know', { version: 2 }],
  ])('calls an entry with %s malformed', async (_, changes) => {
    expect(await verify(replaced(1, changes))).toEqual({ kind: 'broken', sequence: 1, because: 'malformed' })
  })

  it('notices a cut tail by the head that was kept elsewhere', async () => {
    const verdict = await verify(chain.slice(0, 4), { expectedHead: head ?? null })
    expect(verdict).toEqual({ kind: 'broken', sequence: 4, because: 'truncated' })
  })

  it('notices a chain written anew with the same key', async () => {
    const anew = await chainOf(
      records.map((record) => ({ ...record, tokensOut: 999 })),
      identity,
    )
    const verdict = await verify(anew, { expectedHead: head ?? null })
    expect(verdict).toEqual({ kind: 'broken', sequence: 5, because: 'chain' })
  })

  it('does not trust a head this node never signed', async () => {
    if (head === undefined) throw new Error('the chain has six entries')
    const forged = { ...head, hash: '0'.repeat(64) }
    expect(await verify(chain, { expectedHead: forged })).toEqual({
      kind: 'broken',
      sequence: 6,
      because: 'signature',
    })
  })

  it('counts an entry that cannot be read as malformed', async () => {
    async function* torn(): AsyncGenerator<SignedLedgerEntry> {
      yield* chain.slice(0, 2)
      throw new CodedError('ledger-corrupt', 'database disk image is malformed')
    }
    const verdict = await verifyChain(torn(), { verifier, peerId: identity.peerId })
    expect(verdict).toEqual({ kind: 'broken', sequence: 2, because: 'malformed' })
  })

  it('passes on any other failure to read', async () => {
    // biome-ignore lint/correctness/useYield: it fails before the first entry
    async function* failing(): AsyncGenerator<SignedLedgerEntry> {
      throw new CodedError('storage-failed', 'disk I/O error')
    }
    const verdict = verifyChain(failing(), { verifier, peerId: identity.peerId })
    await expect(verdict).rejects.toMatchObject({ code: 'storage-failed' })
  })

  it('stops when asked to', async () => {
    const controller = new AbortController()
    controller.abort()
    await expect(verify(chain, { signal: controller.signal })).rejects.toThrow(/abort/)
  })

  it('reports how far it got', async () => {
    const seen: number[] = []
    await verify(chain, { onProgress: (checked) => seen.push(checked) })
    expect(seen).toEqual([6])
  })

  it('finds any single altered field at or before its entry', async () => {
    const property = fc.asyncProperty(
      fc.array(arbitraryRecord, { minLength: 1, maxLength: 5 }),
      fc.nat(),
      fc.nat(),
      async (arbitrary, at, pick) => {
        const made = await chainOf(arbitrary, identity)
        const index = at % made.length
        const victim = made[index] as SignedLedgerEntry
        const fields = Object.keys(victim) as (keyof SignedLedgerEntry)[]
        const field = fields[pick % fields.length] as keyof SignedLedgerEntry
        const touched = made.with(index, { ...victim, [field]: altered(victim[field]) } as SignedLedgerEntry)
        const verdict = await verify(touched)
        expect(verdict.kind === 'broken' && verdict.sequence).toBe(index)
      },
    )
    await fc.assert(property, { numRuns: 100 })
  })
})
