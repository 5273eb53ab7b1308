/** Every question to the library's database, prepared once. Each is one statement or one transaction. */
import type Database from 'better-sqlite3'
import type { Digest } from '#contracts/digest.ts'
import type { PatchHead } from '#contracts/patch-file/patch-head.ts'
import { QuotaExceededError } from '#core/errors.ts'
import type { KeptPatch } from '#core/ports/patch-library.ts'
import { naming } from '../shared/kept-database.ts'

export interface PatchRow {
  readonly digest: Digest
  readonly size_bytes: number
  readonly origin: KeptPatch['where']
  readonly complete: 0 | 1
  readonly shared: 0 | 1
  readonly added_at_ms: number
}

export interface NewPatch {
  readonly head: PatchHead
  readonly headBytes: Uint8Array
  readonly where: KeptPatch['where']
  readonly addedAtMs: number
}

export interface PatchRows {
  all(filter: { readonly base?: Digest; readonly complete?: boolean }): readonly PatchRow[]
  one(digest: string): PatchRow | null
  /** The first two at most: more than one is ambiguous. */
  withPrefix(prefix: string): readonly PatchRow[]
  tagged(tag: string): PatchRow | null
  withMask(mask: Digest): PatchRow | null
  head(digest: Digest): Uint8Array | null
  tags(): ReadonlyMap<Digest, readonly string[]>
  /** Not complete yet; one that is there stays as it is. Throws `QuotaExceededError` when it does not fit. */
  insert(patch: NewPatch): void
  /** Runs `work` under the write lock; all of its changes become durable, or none. */
  locked<T>(work: () => T): T
  setComplete(digest: Digest): void
  setOrigin(digest: Digest, origin: KeptPatch['where']): void
  setShared(digest: Digest, shared: boolean): void
  setTag(tag: string, digest: Digest | null): void
  remove(digest: Digest): void
  usedBytes(): number
  follows(): readonly { readonly peerId: string; readonly name: string }[]
  follow(peerId: string, name: string): void
  unfollow(peerId: string): void
}

const columns = 'digest, size_bytes, origin, complete, shared, added_at_ms'

export function createPatchRows(
  database: Database.Database,
  init: { readonly file: string; readonly quotaBytes: number },
): PatchRows {
  const { file, quotaBytes } = init
  const use = <T>(work: () => T): T => naming(file, work)
  const prepare = <Parameters extends unknown[], Result = unknown>(sql: string) =>
    use(() => database.prepare<Parameters, Result>(sql))

  const all = prepare<[{ base: string | null; complete: number | null }], PatchRow>(
    `SELECT ${columns} FROM patches
     WHERE (@base IS NULL OR base = @base) AND (@complete IS NULL OR complete = @complete) ORDER BY number DESC`,
  )
  const one = prepare<[string], PatchRow>(`SELECT ${columns} FROM patches WHERE digest = ?`)
  const withPrefix = prepare<[{ from: string; to: string }], PatchRow>(
    `SELECT ${columns} FROM patches WHERE digest >= @from AND digest < @to LIMIT 2`,
  )
  const tagged = prepare<[string], PatchRow>(
    `SELECT ${columns} FROM patches WHERE digest = (SELECT digest FROM tags WHERE tag = ?)`,
  )
  const withMask = prepare<[string], PatchRow>(
    `SELECT ${columns} FROM patches WHERE mask = ? AND complete = 1 ORDER BY number LIMIT 1`,
  )
  const head = prepare<[string], Buffer>('SELECT head FROM patches WHERE digest = ?').pluck()
  const tags = prepare<[], { tag: string; digest: Digest }>('SELECT tag, digest FROM tags ORDER BY tag')
  const insert = prepare<[Record<string, unknown>]>(
    `INSERT INTO patches (digest, head, base, size_bytes, mask, origin, complete, shared, added_at_ms)
     VALUES (@digest, @head, @base, @size, @mask, @origin, 0, 0, @addedAt)`,
  )
  const setComplete = prepare<[string]>('UPDATE patches SET complete = 1 WHERE digest = ?')
  const setOrigin = prepare<[string, string]>('UPDATE patches SET origin = ? WHERE digest = ?')
  const setShared = prepare<[number, string]>('UPDATE patches SET shared = ? WHERE digest = ?')
  const setTag = prepare<[string, string]>(
    'INSERT INTO tags (tag, digest) VALUES (?, ?) ON CONFLICT (tag) DO UPDATE SET digest = excluded.digest',
  )
  const dropTag = prepare<[string]>('DELETE FROM tags WHERE tag = ?')
  const remove = prepare<[string]>('DELETE FROM patches WHERE digest = ?')
  const used = prepare<[], number>("SELECT coalesce(sum(size_bytes), 0) FROM patches WHERE origin <> 'mine'").pluck()
  const follows = prepare<[], { peerId: string; name: string }>(
    'SELECT peer_id AS peerId, name FROM follows ORDER BY name, peer_id',
  )
  const follow = prepare<[string, string]>(
    'INSERT INTO follows (peer_id, name) VALUES (?, ?) ON CONFLICT (peer_id) DO UPDATE SET name = excluded.name',
  )
  const unfollow = prepare<[string]>('DELETE FROM follows WHERE peer_id = ?')

  /** Called under the lock: two that arrive at once cannot both take the last of the room. */
  function insertWithin({ head: { digest, header, sizeBytes }, ...patch }: NewPatch): void {
    if (one.get(digest) !== undefined) return
    const usedBytes = used.get() ?? 0
    if (patch.where !== 'mine' && usedBytes + sizeBytes > quotaBytes) {
      throw new QuotaExceededError('patches from others', usedBytes + sizeBytes, quotaBytes)
    }
    insert.run({
      digest,
      head: patch.headBytes,
      base: header.base.digest,
      size: sizeBytes,
      mask: header.sharedMask ? null : header.maskDigest,
      origin: patch.where,
      addedAt: patch.addedAtMs,
    })
  }

  return {
    all: ({ base, complete }) =>
      use(() => all.all({ base: base ?? null, complete: complete === undefined ? null : Number(complete) })),
    one: (digest) => use(() => one.get(digest) ?? null),
    // No hexadecimal digit comes after `f`.
    withPrefix: (prefix) => use(() => withPrefix.all({ from: prefix, to: `${prefix}g` })),
    tagged: (tag) => use(() => tagged.get(tag) ?? null),
    withMask: (mask) => use(() => withMask.get(mask) ?? null),
    head: (digest) => use(() => head.get(digest) ?? null),
    tags: () =>
      use(() => {
        const groups = Map.groupBy(tags.all(), ({ digest }) => digest)
        return new Map([...groups].map(([digest, rows]) => [digest, rows.map(({ tag }) => tag)]))
      }),
    insert: (patch) => use(() => insertWithin(patch)),
    locked: (work) => use(() => database.transaction(work).immediate()),
    setComplete: (digest) => void use(() => setComplete.run(digest)),
    setOrigin: (digest, origin) => void use(() => setOrigin.run(origin, digest)),
    setShared: (digest, shared) => void use(() => setShared.run(Number(shared), digest)),
    setTag: (tag, digest) => void use(() => (digest === null ? dropTag.run(tag) : setTag.run(tag, digest))),
    remove: (digest) => void use(() => remove.run(digest)),
    usedBytes: () => use(() => used.get() ?? 0),
    follows: () => use(() => follows.all()),
    follow: (peerId, name) => void use(() => follow.run(peerId, name)),
    unfollow: (peerId) => void use(() => unfollow.run(peerId)),
  }
}
