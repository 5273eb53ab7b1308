/**
 * One line of the ledger: a session this node served to a peer, or used from one. Entries form a hash chain: each holds
 * the hash of the one before it, and the node's key signs the hash. `docs/formats/ledger.md` has the byte layout.
 */
import * as z from 'zod'
import { digestSchema } from '../digest.ts'
import { spanSchema } from '../span.ts'

/** Put before the hash when signing, so that a ledger signature can never be taken for another kind of signature. */
export const ledgerSignatureDomain = 'quiltbee/ledger-entry/1'

const count = z.int().min(0)

/** How a session ended: as agreed, cut by the other side or the network, or by an error or crash on this side. */
export const sessionOutcomes = ['completed', 'interrupted', 'failed'] as const
export type SessionOutcome = (typeof sessionOutcomes)[number]

/** What is known of a session when it has ended, before it becomes an entry. */
export const sessionRecordSchema = z.strictObject({
  kind: z.enum(['served', 'used']),
  sessionId: z.uuid(),
  /** The other side's peer id; this node's own when it used its own blocks. */
  peerId: z
    .string()
    .max(128)
    .regex(/^[\x21-\x7e]+$/, 'expected printable ASCII without spaces'),
  modelDigest: digestSchema,
  span: spanSchema,
  /** Positions computed as context: a prompt, or a replay after a failover. */
  tokensIn: count,
  /** Positions computed one at a time, while generating. */
  tokensOut: count,
  /** Bytes this node received and sent on the session's stream; 0 and 0 when nothing crossed the network. */
  bytesReceived: count,
  bytesSent: count,
  startedAtMs: count,
  durationMs: count,
  outcome: z.enum(sessionOutcomes),
})
export type SessionRecord = Readonly<z.infer<typeof sessionRecordSchema>>

export const ledgerEntrySchema = sessionRecordSchema.extend({
  version: z.literal(1),
  /** 0, 1, 2 … without gaps. */
  sequence: count,
  /** Hash of the entry before this one; 64 zeros for the first. */
  previousHash: digestSchema,
})
export type LedgerEntry = Readonly<z.infer<typeof ledgerEntrySchema>>

export const signatureLength = 64

/** An entry as stored: with the SHA-256 of its canonical bytes and the node's Ed25519 signature over domain and hash. */
export const signedLedgerEntrySchema = ledgerEntrySchema.extend({
  hash: digestSchema,
  signature: z.instanceof(Uint8Array).refine((bytes) => bytes.length === signatureLength, {
    message: `expected ${signatureLength} bytes`,
  }),
})

export type SignedLedgerEntry = LedgerEntry & {
  readonly hash: string // 64 hex
  readonly signature: Uint8Array // (64,)
}

/**
 * The seal of the newest entry. Kept apart from the entries, it shows when some were cut off the end: the hash commits to
 * the sequence and to every entry before, and the signature to the hash.
 */
export const ledgerHeadSchema = signedLedgerEntrySchema.pick({ sequence: true, hash: true, signature: true })
export type LedgerHead = Pick<SignedLedgerEntry, 'sequence' | 'hash' | 'signature'>
