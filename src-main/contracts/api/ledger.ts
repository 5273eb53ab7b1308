/** The ledger as the UI shows it. */
import * as z from 'zod'
import { digestSchema } from '../digest.ts'
import { sessionOutcomes } from '../receipt/ledger-entry.ts'
import { spanSchema } from '../span.ts'
import { totalsSchema } from './node.ts'

const count = z.int().min(0)

export const ledgerRowSchema = z.strictObject({
  sequence: count,
  kind: z.enum(['served', 'used']),
  peerId: z.string(),
  /** True when the "peer" is this node using its own blocks. */
  self: z.boolean(),
  modelDigest: digestSchema,
  span: spanSchema,
  tokensIn: count,
  tokensOut: count,
  bytesReceived: count,
  bytesSent: count,
  startedAtMs: count,
  durationMs: count,
  outcome: z.enum(sessionOutcomes),
  hash: digestSchema,
})
export type LedgerRow = Readonly<z.infer<typeof ledgerRowSchema>>

export const ledgerListRequestSchema = z.strictObject({
  /** Rows with a smaller sequence; null for the newest. */
  before: count.nullable().default(null),
  limit: z.int().min(1).max(500).default(50),
  kind: z.enum(['served', 'used']).nullable().default(null),
})

export const ledgerListSchema = z.strictObject({
  rows: z.array(ledgerRowSchema),
  next: count.nullable(),
  totalEntries: count,
  allTime: totalsSchema,
})
export type LedgerList = Readonly<z.infer<typeof ledgerListSchema>>

/** What a walk of the whole chain found. */
export const ledgerVerdictSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('intact'), entries: count, headHash: digestSchema.nullable() }),
  z.strictObject({
    kind: z.literal('broken'),
    /** First entry that does not hold; everything before it does. */
    sequence: count,
    because: z.enum(['gap', 'chain', 'hash', 'signature', 'malformed', 'truncated']),
  }),
])
export type LedgerVerdict = Readonly<z.infer<typeof ledgerVerdictSchema>>

export const ledgerVerifyEventSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('progress'), checked: count, total: count }),
  z.strictObject({ type: z.literal('verdict'), verdict: ledgerVerdictSchema }),
])
export type LedgerVerifyEvent = Readonly<z.infer<typeof ledgerVerifyEventSchema>>
