/** The patches as the screen lists them: which group, which base, which words. Pure. */
import type { PatchSummary } from '#contracts/api/patches.ts'

export const patchGroups = ['mine', 'swarm'] as const
export type PatchGroup = (typeof patchGroups)[number]

export type PatchFilter = {
  readonly group: PatchGroup
  /** Digest of the base; null: of every base. */
  readonly base: string | null
  readonly words: string
}

/** `mine`: trained here or brought from a file. `swarm`: fetched, or heard of. */
export function groupOf({ where }: Pick<PatchSummary, 'where'>): PatchGroup {
  return where === 'mine' || where === 'imported' ? 'mine' : 'swarm'
}

export function isComplete(patch: Pick<PatchSummary, 'where' | 'receivedBytes' | 'sizeBytes'>): boolean {
  return patch.where !== 'seen' && patch.receivedBytes >= patch.sizeBytes
}

/** Of authors you follow first, then the newest. */
export function filterPatches(patches: readonly PatchSummary[], filter: PatchFilter): PatchSummary[] {
  const words = filter.words.toLowerCase().split(/\s+/).filter(Boolean)
  return patches
    .filter((patch) => groupOf(patch) === filter.group)
    .filter(({ header }) => filter.base === null || header.base.digest === filter.base)
    .filter((patch) => words.every((word) => searchable(patch).includes(word)))
    .toSorted((a, b) => Number(b.followed) - Number(a.followed) || b.addedAtMs - a.addedAtMs)
}

function searchable({ header, tags, digest }: PatchSummary): string {
  const { title, description, author, base, training } = header
  const words = [title, description, author.name, author.peerId, base.name, training?.method ?? '', digest, ...tags]
  return words.join('\n').toLowerCase()
}

export type Base = { readonly digest: string; readonly name: string }

/** The bases the list knows, each once, by name. */
export function basesOf(patches: readonly PatchSummary[]): Base[] {
  const bases = new Map(patches.map(({ header }) => [header.base.digest as string, header.base.name]))
  return [...bases].map(([digest, name]) => ({ digest, name })).toSorted((a, b) => a.name.localeCompare(b.name))
}

/** Those a text by this model can use now. */
export function usableOn(patches: readonly PatchSummary[], modelDigest: string | null): PatchSummary[] {
  return patches
    .filter((patch) => isComplete(patch) && patch.header.base.digest === modelDigest)
    .toSorted((a, b) => b.addedAtMs - a.addedAtMs)
}

/** Two at most: a third takes the place of the one chosen first. */
export function choosePair(pair: readonly string[], digest: string): readonly string[] {
  if (pair.includes(digest)) return pair.filter((one) => one !== digest)
  return [...pair, digest].slice(-2)
}
