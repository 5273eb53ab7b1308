/** What two patches have in common, tensor by tensor: how far their masks overlap, and whether they pull the same way. */
import type { PatchDiff } from '#contracts/api/patches.ts'
import type { Digest } from '#contracts/digest.ts'
import { compareNames } from '#contracts/patch-file/header-rules.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { dotOfFactors, dotWithFactors, meet } from './products.ts'
import { partsOf, type TensorPart } from './tensor-parts.ts'

export interface DiffSide {
  readonly digest: Digest
  readonly baseDigest: Digest
  readonly content: PatchContent
}

interface TensorMeeting {
  readonly tensor: string
  readonly leftEntries: number
  readonly rightEntries: number
  readonly sharedEntries: number
  readonly signConflicts: number
  readonly dot: number
  readonly leftSquare: number
  readonly rightSquare: number
}

/**
 * Overlap is 0 when one side changes nothing, cosine when one side's changes are all zero. Factors change every entry of
 * their matrix; conflicts of sign are counted among deltas and among scales.
 */
export function diffPatches(left: DiffSide, right: DiffSide): PatchDiff {
  const [lefts, rights] = [byTensor(left.content), byTensor(right.content)]
  const names = [...new Set([...lefts.keys(), ...rights.keys()])].sort(compareNames)
  const meetings = names.map((tensor) => meetTensor(tensor, lefts.get(tensor) ?? [], rights.get(tensor) ?? []))
  const sum = (pick: (meeting: TensorMeeting) => number) =>
    meetings.reduce((total, meeting) => total + pick(meeting), 0)
  const whole = {
    leftEntries: sum((meeting) => meeting.leftEntries),
    rightEntries: sum((meeting) => meeting.rightEntries),
    sharedEntries: sum((meeting) => meeting.sharedEntries),
    dot: sum((meeting) => meeting.dot),
    leftSquare: sum((meeting) => meeting.leftSquare),
    rightSquare: sum((meeting) => meeting.rightSquare),
  }
  return {
    left: left.digest,
    right: right.digest,
    sameBase: left.baseDigest === right.baseDigest,
    overlap: overlapOf(whole),
    cosine: cosineOf(whole),
    signConflicts: sum((meeting) => meeting.signConflicts),
    tensors: meetings.map((meeting) => ({
      tensor: meeting.tensor,
      leftEntries: meeting.leftEntries,
      rightEntries: meeting.rightEntries,
      sharedEntries: meeting.sharedEntries,
      overlap: overlapOf(meeting),
      cosine: cosineOf(meeting),
      leftNorm: Math.sqrt(meeting.leftSquare),
      rightNorm: Math.sqrt(meeting.rightSquare),
    })),
  }
}

/** A tensor's parts: a delta, a scale, factors, or a delta and factors. */
function byTensor(content: PatchContent): ReadonlyMap<string, readonly TensorPart[]> {
  return Map.groupBy(partsOf(content), ({ tensor }) => tensor)
}

function meetTensor(tensor: string, lefts: readonly TensorPart[], rights: readonly TensorPart[]): TensorMeeting {
  const sparse = lefts.flatMap((a) => rights.flatMap((b) => (a.sparse && b.sparse ? [meet(a.sparse, b.sparse)] : [])))
  const [leftEntries, rightEntries] = [entriesOf(lefts), entriesOf(rights)]
  const isDense = [...lefts, ...rights].some(({ factors }) => factors !== null)
  const among = sparse.reduce((sum, { shared }) => sum + shared, 0)
  return {
    tensor,
    leftEntries,
    rightEntries,
    sharedEntries: isDense ? Math.min(leftEntries, rightEntries) : among,
    signConflicts: sparse.reduce((sum, { signConflicts }) => sum + signConflicts, 0),
    dot: dotOfParts(lefts, rights),
    leftSquare: Math.max(0, dotOfParts(lefts, lefts)),
    rightSquare: Math.max(0, dotOfParts(rights, rights)),
  }
}

function entriesOf(parts: readonly TensorPart[]): number {
  return Math.max(0, ...parts.map(({ size, sparse }) => sparse?.indices.length ?? size))
}

function dotOfParts(lefts: readonly TensorPart[], rights: readonly TensorPart[]): number {
  return lefts.reduce((sum, a) => sum + rights.reduce((inner, b) => inner + dotOfPair(a, b), 0), 0)
}

/** Products of changes of other shapes are 0: they are not changes to the same tensor. */
function dotOfPair(a: TensorPart, b: TensorPart): number {
  if (a.sparse !== null && b.sparse !== null) return meet(a.sparse, b.sparse).dot
  if (a.size !== b.size) return 0
  if (a.factors !== null && b.factors !== null) {
    return a.factors.shape.join() === b.factors.shape.join() ? dotOfFactors(a.factors, b.factors) : 0
  }
  if (a.sparse !== null && b.factors !== null) return dotWithFactors(a.sparse, b.factors)
  if (a.factors !== null && b.sparse !== null) return dotWithFactors(b.sparse, a.factors)
  return 0
}

function overlapOf(counts: Pick<TensorMeeting, 'leftEntries' | 'rightEntries' | 'sharedEntries'>): number {
  const smaller = Math.min(counts.leftEntries, counts.rightEntries)
  return smaller === 0 ? 0 : counts.sharedEntries / smaller
}

/** Rounding may carry a cosine past one. */
function cosineOf({ dot, leftSquare, rightSquare }: Pick<TensorMeeting, 'dot' | 'leftSquare' | 'rightSquare'>): number {
  const lengths = Math.sqrt(leftSquare) * Math.sqrt(rightSquare)
  return lengths === 0 ? 0 : Math.min(1, Math.max(-1, dot / lengths))
}
