/** Patches as lists show them: the header without its sections, and what follows from those. */
import type { PatchSummary } from '#contracts/api/patches.ts'
import type { PatchSection } from '#contracts/patch-file/header.ts'
import type { PatchHead } from '#contracts/patch-file/patch-head.ts'
import type { KeptPatch } from '#core/ports/patch-library.ts'

/** What a patch is, wherever it is: kept for patches that are only heard of. */
export type PatchFacts = Pick<PatchSummary, 'digest' | 'header' | 'sizeBytes' | 'entries' | 'tensors'>

/** What the node knows around a patch. */
export interface PatchSurroundings {
  readonly holders: number
  readonly followed: boolean
}

export function factsOf({ digest, header, sizeBytes }: Pick<PatchHead, 'digest' | 'header' | 'sizeBytes'>): PatchFacts {
  const { sections, ...described } = header
  const entries = sections.reduce((sum, section) => sum + entriesOf(section), 0)
  return { digest, header: described, sizeBytes, entries, tensors: sections.length }
}

export function summariseKept(kept: KeptPatch, surroundings: PatchSurroundings): PatchSummary {
  const { where, receivedBytes, shared, tags, addedAtMs } = kept
  return { ...factsOf(kept), where, receivedBytes, shared, tags: [...tags], addedAtMs, ...surroundings }
}

export function summariseSeen(facts: PatchFacts, seenAtMs: number, surroundings: PatchSurroundings): PatchSummary {
  return {
    ...facts,
    where: 'seen',
    receivedBytes: 0,
    shared: false,
    tags: [],
    addedAtMs: seenAtMs,
    ...surroundings,
  }
}

/** Of authors the owner follows first, then the newest. */
export function inOrderOfInterest(patches: readonly PatchSummary[]): PatchSummary[] {
  return [...patches].sort((a, b) => Number(b.followed) - Number(a.followed) || b.addedAtMs - a.addedAtMs)
}

function entriesOf(section: PatchSection): number {
  return section.kind === 'factors' ? section.rank * (section.shape[0] + section.shape[1]) : section.entries
}
