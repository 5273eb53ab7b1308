/**
 * Where patches come from. Parents are named by digest, so no patch can be its own ancestor; what strangers claim is
 * walked all the same with a limit, and each patch once.
 */
import type { Digest } from '#contracts/digest.ts'

/** What is known of a patch; null for one that is not here. */
export type LineageLookup<T extends LineageNode> = (digest: Digest) => T | null

export interface LineageNode {
  readonly parents: readonly Digest[]
  readonly createdAtMs: number
}

export interface Ancestor<T> {
  readonly digest: Digest
  /** 1 for a parent. */
  readonly depth: number
  /** Null for one that is not here; what it stands on is not known. */
  readonly patch: T | null
}

export const maximumAncestors = 256

/** Nearest first, each once at its least depth; at most `maximumAncestors`. */
export function ancestorsOf<T extends LineageNode>(digest: Digest, lookup: LineageLookup<T>): readonly Ancestor<T>[] {
  const found = new Map<Digest, Ancestor<T>>()
  let level = lookup(digest)?.parents ?? []
  for (let depth = 1; level.length > 0 && found.size < maximumAncestors; depth += 1) {
    const fresh = [...new Set(level)].filter((parent) => parent !== digest && !found.has(parent))
    const room = fresh.slice(0, maximumAncestors - found.size)
    for (const parent of room) found.set(parent, { digest: parent, depth, patch: lookup(parent) })
    level = room.flatMap((parent) => found.get(parent)?.patch?.parents ?? [])
  }
  return [...found.values()]
}

export interface LogEntry<T> {
  readonly digest: Digest
  readonly patch: T | null
}

/**
 * A patch and its ancestors as a log is read: newest first, and never a parent before any of its children. Patches that
 * are not here come as early as their children allow.
 */
export function logOf<T extends LineageNode>(digest: Digest, lookup: LineageLookup<T>): readonly LogEntry<T>[] {
  const nodes = new Map([{ digest, patch: lookup(digest) }, ...ancestorsOf(digest, lookup)].map((e) => [e.digest, e]))
  const parentsOf = (entry: LogEntry<T>) =>
    [...new Set(entry.patch?.parents ?? [])].filter((parent) => nodes.has(parent))
  const waiting = new Map<Digest, number>() // children not told yet
  for (const entry of nodes.values()) {
    for (const parent of parentsOf(entry)) waiting.set(parent, (waiting.get(parent) ?? 0) + 1)
  }
  const log: LogEntry<T>[] = []
  const ready: LogEntry<T>[] = [...nodes.values()].filter((entry) => !waiting.has(entry.digest))
  for (let next = takeNewest(ready); next !== undefined; next = takeNewest(ready)) {
    log.push({ digest: next.digest, patch: next.patch })
    for (const parent of parentsOf(next)) {
      const left = (waiting.get(parent) ?? 0) - 1
      waiting.set(parent, left)
      const entry = nodes.get(parent)
      if (left === 0 && entry !== undefined) ready.push(entry)
    }
  }
  return log
}

/** Of two of one age, the one whose digest comes first. */
function takeNewest<T extends LineageNode>(entries: LogEntry<T>[]): LogEntry<T> | undefined {
  const age = ({ patch }: LogEntry<T>) => patch?.createdAtMs ?? Number.POSITIVE_INFINITY
  entries.sort((a, b) => age(b) - age(a) || (a.digest < b.digest ? -1 : 1))
  return entries.shift()
}
