/** A ledger in memory. What is kept outlives the stores that open it, as a disk outlives processes. */
import { CodedError, InvalidInputError } from '#contracts/errors.ts'
import { entryAfter, hashEntry, signingBytes } from '#contracts/receipt/entry-codec.ts'
import { type SessionRecord, type SignedLedgerEntry, sessionRecordSchema } from '#contracts/receipt/ledger-entry.ts'
import type { Identity } from '#core/ports/keys.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'

export interface KeptLedger {
  readonly entries: SignedLedgerEntry[]
  readonly notes: Map<string, { readonly record: SessionRecord; readonly owner: object }>
  /** One token for each running process. */
  readonly alive: Set<object>
  /** The last append or recovery under way, in any process. */
  tail: Promise<unknown>
}

export function createKeptLedger(): KeptLedger {
  return { entries: [], notes: new Map(), alive: new Set(), tail: Promise.resolve() }
}

/** `process` stands for the process that opens the store; removing it from `kept.alive` kills it. */
export function createInMemoryLedgerStore(init: {
  readonly identity: Identity
  readonly kept?: KeptLedger
  readonly process?: object
}): LedgerStore {
  const { identity, kept = createKeptLedger(), process = {} } = init
  let closed = false
  kept.alive.add(process)

  const noteKey = (record: SessionRecord) => `${record.kind} ${record.sessionId}`

  async function use<T>(work: () => T | Promise<T>): Promise<T> {
    if (closed) throw new CodedError('storage-failed', 'the ledger is closed')
    return await work()
  }

  function write<T>(work: () => T | Promise<T>): Promise<T> {
    const result = kept.tail.then(() => use(work))
    kept.tail = result.catch(() => undefined)
    return result
  }

  async function add(record: SessionRecord): Promise<SignedLedgerEntry> {
    const entry = entryAfter(kept.entries.at(-1) ?? null, record)
    const hash = hashEntry(entry)
    const signed = { ...entry, hash, signature: Uint8Array.from(await identity.sign(signingBytes(hash))) }
    kept.entries.push(signed)
    kept.notes.delete(noteKey(record))
    return signed
  }

  return {
    append: (record) => write(() => add(parse(record))),

    journal: (input) =>
      write(() => {
        const record = parse(input)
        const isEntered = kept.entries.some(
          (entry) => noteKey(entry) === noteKey(record) && entry.startedAtMs === record.startedAtMs,
        )
        if (!isEntered) kept.notes.set(noteKey(record), { record, owner: process })
      }),

    recover: () =>
      write(async () => {
        const abandoned = [...kept.notes.values()].filter(({ owner }) => !kept.alive.has(owner))
        for (const { record } of abandoned) await add({ ...record, outcome: 'failed' })
        return abandoned.length
      }),

    page: ({ before = Number.POSITIVE_INFINITY, limit, kind }) =>
      use(() => {
        const matching = kept.entries
          .filter((entry) => entry.sequence < before && (kind === undefined || entry.kind === kind))
          .toReversed()
        const entries = matching.slice(0, limit)
        return { entries, next: matching.length > limit ? (entries.at(-1)?.sequence ?? null) : null }
      }),

    totals: (sinceMs) =>
      use(() => {
        const since = kept.entries.filter((entry) => entry.startedAtMs >= sinceMs)
        const served = since.filter((entry) => entry.kind === 'served')
        const used = since.filter((entry) => entry.kind === 'used')
        return {
          servedSessions: served.length,
          servedTokens: sum(served, ({ tokensIn, tokensOut }) => tokensIn + tokensOut),
          usedSessions: used.length,
          usedTokens: sum(used, ({ tokensIn, tokensOut }) => tokensIn + tokensOut),
          bytesReceived: sum(since, (entry) => entry.bytesReceived),
          bytesSent: sum(since, (entry) => entry.bytesSent),
        }
      }),

    count: () => use(() => kept.entries.length),

    head: () =>
      use(() => {
        const newest = kept.entries.at(-1)
        if (newest === undefined) return null
        const { sequence, hash, signature } = newest
        return { sequence, hash, signature }
      }),

    async *entries() {
      yield* kept.entries
    },

    async close() {
      await kept.tail
      closed = true
      kept.alive.delete(process)
    },
  }
}

function sum(entries: readonly SignedLedgerEntry[], of: (entry: SignedLedgerEntry) => number): number {
  return entries.reduce((total, entry) => total + of(entry), 0)
}

function parse(input: SessionRecord): SessionRecord {
  const parsed = sessionRecordSchema.safeParse(input)
  if (parsed.success) return parsed.data
  throw new InvalidInputError('session record', parsed.error.message)
}
