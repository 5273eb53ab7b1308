import { decode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeEntry, entryAfter, firstPreviousHash, hashEntry, signingBytes } from '#contracts/receipt/entry-codec.ts'
import { type LedgerEntry, ledgerEntrySchema, sessionRecordSchema } from '#contracts/receipt/ledger-entry.ts'
import { altered, arbitraryRecord, knownIdentity, sessionRecord } from '#test/core/ledger/known-ledger.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const first = entryAfter(null, sessionRecord())

describe('the bytes of a ledger entry', () => {
  it('are the known ones for a known entry', () => {
    expect(hex(encodeEntry(first))).toBe(
      'af646b696e6466736572766564647370616e820204667065657249647834313244334b6f6f5745796f70704e43557838597836366f5639664a6e726958774363587744445541326b6a36766e633669444570676f7574636f6d6569636f6d706c657465646776657273696f6e016873657175656e63650068746f6b656e73496e0c69627974657353656e741998046973657373696f6e4964782430313866346532612d376331622d346433652d396635302d36613762386339643065316669746f6b656e734f757418406a6475726174696f6e4d731910e16b6d6f64656c4469676573745820abababababababababababababababababababababababababababababababab6b7374617274656441744d731b0000018bcfe568006c70726576696f757348617368582000000000000000000000000000000000000000000000000000000000000000006d62797465735265636569766564199800',
    )
    expect(hashEntry(first)).toBe('a9f93d28c4d405a545fffbf5f318760ba84dcb5b4888cbd7fdc26819a74456ff')
  })

  it('are signed with the known signature by the known key', async () => {
    const identity = await knownIdentity()
    expect(identity.peerId).toBe('12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7')
    expect(hex(signingBytes(hashEntry(first)))).toBe(
      '7175696c746265652f6c65646765722d656e7472792f3100a9f93d28c4d405a545fffbf5f318760ba84dcb5b4888cbd7fdc26819a74456ff',
    )
    expect(hex(await identity.sign(signingBytes(hashEntry(first))))).toBe(
      '8614da3e81ab1dbff3c1c57d0583242d38ea27883eefc8260270e6069caf444695d10f3d6e80ef04b359a85c1f6269be8e1f30126960a1d161998cc7ec16c802',
    )
  })

  it('can be read by any DAG-CBOR decoder', () => {
    const { modelDigest, previousHash, span, ...plain } = first
    expect(decode(encodeEntry(first))).toEqual({
      ...plain,
      span: [2, 4],
      modelDigest: new Uint8Array(32).fill(0xab),
      previousHash: new Uint8Array(32),
    })
  })

  it('do not depend on the order in which fields were set', () => {
    const reversed = Object.fromEntries(Object.entries(first).reverse()) as unknown as LedgerEntry
    expect(encodeEntry(reversed)).toEqual(encodeEntry(first))
  })

  it('differ when any field differs', () => {
    fc.assert(
      fc.property(arbitraryRecord, fc.constantFrom(...Object.keys(first)), (record, field) => {
        const entry = entryAfter(null, record)
        const other = { ...entry, [field]: altered(entry[field as keyof LedgerEntry]) }
        expect(hashEntry(other)).not.toBe(hashEntry(entry))
      }),
      { numRuns: 200 },
    )
  })
})

describe('the entry after another', () => {
  it('is the first when there is none before', () => {
    expect(first).toMatchObject({ version: 1, sequence: 0, previousHash: firstPreviousHash })
  })

  it('counts on and holds the hash of the one before', () => {
    const hash = hashEntry(first)
    expect(entryAfter({ sequence: 0, hash }, sessionRecord())).toMatchObject({ sequence: 1, previousHash: hash })
  })
})

describe('the schema of a session', () => {
  it.each([
    ['a negative count', { tokensIn: -1 }],
    ['a fraction', { bytesSent: 0.5 }],
    ['a number too large to be exact', { bytesReceived: 2 ** 53 }],
    ['not a number', { durationMs: Number.NaN }],
    ['an empty span', { span: { start: 3, end: 3 } }],
    ['a peer id with control characters', { peerId: 'a\u202eb' }],
    ['a session id that is no UUID', { sessionId: '1' }],
    ['an unknown field', { credit: 5 }],
  ])('refuses %s', (_, change) => {
    expect(sessionRecordSchema.safeParse({ ...sessionRecord(), ...change }).success).toBe(false)
  })

  it('accepts every entry made from a valid record', () => {
    fc.assert(
      fc.property(arbitraryRecord, (record) => {
        expect(ledgerEntrySchema.parse(entryAfter(null, record))).toEqual(entryAfter(null, record))
      }),
      { numRuns: 50 },
    )
  })
})
