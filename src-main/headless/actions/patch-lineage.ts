import { openNamedPatch } from '#app/patch-files.ts'
import { changesOf, diffOf, logOfPatch } from '#app/patch-review.ts'
import { openPatchFiles } from '#assembly/patch-files.ts'
import type { PatchDiff, TensorChange } from '#contracts/api/patches.ts'
import { shortDigest } from '#contracts/digest.ts'
import { formatTable, print, printJson } from '../output.ts'
import { describePatch, printable, short } from '../patch-text.ts'
import { cancellable } from './model-progress.ts'
import { existingProfile, type ProfileOptions } from './patch-profile.ts'

export async function showPatch(name: string, options: ProfileOptions): Promise<void> {
  await using files = openPatchFiles(existingProfile(options))
  await using patch = await openNamedPatch(files, name)
  const tensors = await cancellable((signal) => changesOf(patch, signal))
  const { digest, header, sizeBytes } = patch
  const { sections: _, ...described } = header
  if (options.json) printJson({ digest, sizeBytes, header: described, tensors })
  else print(`${describePatch(patch)}\n\n${describeChanges(tensors)}`)
}

export async function logPatch(name: string, options: ProfileOptions): Promise<void> {
  await using files = openPatchFiles(existingProfile(options))
  await using patch = await openNamedPatch(files, name)
  const entries = (await logOfPatch(await files.library(), patch)).map(({ digest, patch: known }) => ({
    digest,
    title: known?.header.title ?? null,
    author: known?.header.author ?? null,
    createdAtMs: known?.header.createdAtMs ?? null,
    origin: known?.header.origin ?? null,
    parents: known?.header.parents ?? [],
    tags: known?.tags ?? [],
  }))
  if (options.json) return printJson(entries)
  const rows = entries.map(({ digest, title, author, createdAtMs, origin, tags }) => [
    shortDigest(digest),
    createdAtMs === null ? '-' : new Date(Math.min(createdAtMs, 8.64e15)).toISOString().slice(0, 16),
    origin ?? '-',
    printable(author?.name || author?.peerId.slice(-8) || '-'),
    printable(title === null ? '(not here)' : [title, ...tags.map((tag) => `[${tag}]`)].join(' ')),
  ])
  print(formatTable([['digest', 'created', 'made by', 'author', 'title'], ...rows]))
}

export async function diffTwoPatches(left: string, right: string, options: ProfileOptions): Promise<void> {
  await using files = openPatchFiles(existingProfile(options))
  await using one = await openNamedPatch(files, left)
  await using other = await openNamedPatch(files, right)
  const diff = await cancellable((signal) => diffOf(one, other, signal))
  if (options.json) printJson(diff)
  else print(describeDiff(diff))
}

function describeChanges(tensors: readonly TensorChange[]): string {
  const rows = tensors.map(({ tensor, kind, entries, size, norm, largest }) => [
    printable(tensor),
    kind,
    String(entries),
    percent(entries / size),
    short(norm),
    short(largest),
  ])
  return formatTable([['tensor', 'kind', 'entries', 'share', 'norm', 'largest'], ...rows])
}

function describeDiff(diff: PatchDiff): string {
  const bases = diff.sameBase ? [] : ['The two are for different bases: places do not mean the same.']
  const whole = `Overlap ${percent(diff.overlap)} of the smaller mask, cosine ${short(diff.cosine)}, ${diff.signConflicts} conflicts of sign.`
  const rows = diff.tensors.map((row) => [
    printable(row.tensor),
    String(row.leftEntries),
    String(row.rightEntries),
    String(row.sharedEntries),
    percent(row.overlap),
    short(row.cosine),
    short(row.leftNorm),
    short(row.rightNorm),
  ])
  const heading = ['tensor', 'left', 'right', 'shared', 'overlap', 'cosine', 'left norm', 'right norm']
  return [...bases, whole, '', formatTable([heading, ...rows])].join('\n')
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`
}
