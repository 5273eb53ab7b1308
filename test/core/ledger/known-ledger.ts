/** A key everybody knows, records to put into a ledger, and chains made of them. */
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import fc from 'fast-check'
import { identityOf } from '#adapters/keys/identity.ts'
import { digestSchema } from '#contracts/digest.ts'
import { entryAfter, hashEntry, signingBytes } from '#contracts/receipt/entry-codec.ts'
import {
  type SessionRecord,
  type SignedLedgerEntry,
  sessionOutcomes,
  sessionRecordSchema,
} from '#contracts/receipt/ledger-entry.ts'
import type { Identity } from '#core/ports/keys.ts'

/** The Ed25519 key with this byte 32 times as its seed. */
export async function knownIdentity(seedByte = 7): Promise<Identity> {
  return identityOf(await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(seedByte)))
}

export function sessionRecord(changes: Partial<SessionRecord> = {}): SessionRecord {
  return {
    kind: 'served',
    sessionId: '018f4e2a-7c1b-4d3e-9f50-6a7b8c9d0e1f',
    peerId: '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp',
    modelDigest: digestSchema.parse('ab'.repeat(32)),
    span: { start: 2, end: 4 },
    tokensIn: 12,
    tokensOut: 64,
    bytesReceived: 38_912,
    bytesSent: 38_916,
    startedAtMs: 1_700_000_000_000,
    durationMs: 4321,
    outcome: 'completed',
    ...changes,
  }
}

const count = fc.oneof(fc.nat(1000), fc.integer({ min: 0, max: 2 ** 43 }))

export const arbitraryRecord: fc.Arbitrary<SessionRecord> = fc
  .record({
    kind: fc.constantFrom('served', 'used'),
    sessionId: fc.uuid({ version: 4 }),
    peerId: fc.stringMatching(/^[1-9A-HJ-NP-Za-km-z]{8,60}$/),
    modelDigest: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex')),
    span: fc
      .tuple(fc.nat(500), fc.integer({ min: 1, max: 500 }))
      .map(([start, length]) => ({ start, end: start + length })),
    tokensIn: count,
    tokensOut: count,
    bytesReceived: count,
    bytesSent: count,
    startedAtMs: count,
    durationMs: count,
    outcome: fc.constantFrom(...sessionOutcomes),
  })
  .map((record) => sessionRecordSchema.parse(record))

export async function chainOf(
  records: readonly SessionRecord[],
  identity: Identity,
  previous: SignedLedgerEntry | null = null,
): Promise<SignedLedgerEntry[]> {
  const entries: SignedLedgerEntry[] = []
  let last = previous
  for (const record of records) {
    const entry = entryAfter(last, record)
    const hash = hashEntry(entry)
    last = { ...entry, hash, signature: Uint8Array.from(await identity.sign(signingBytes(hash))) }
    entries.push(last)
  }
  return entries
}

export async function* walk(entries: readonly SignedLedgerEntry[]): AsyncGenerator<SignedLedgerEntry> {
  yield* entries
}

/** Another value of the same type, so that only a check of meaning can notice. */
export function altered(value: unknown): unknown {
  if (value instanceof Uint8Array) return value.map((byte, index) => (index === 5 ? byte ^ 1 : byte))
  if (typeof value === 'number') return value + 1
  if (value === 'served') return 'used'
  if (value === 'used') return 'served'
  if (value === 'completed') return 'failed'
  if (value === 'failed' || value === 'interrupted') return 'completed'
  if (typeof value === 'string') return (value.startsWith('1') ? '2' : '1') + value.slice(1)
  const span = value as { start: number; end: number }
  return { start: span.start, end: span.end + 1 }
}
