/** What can be told of patches that are here: whether they fit, what they change, what they stand on. */
import type { PatchDiff, TensorChange } from '#contracts/api/patches.ts'
import type { Digest } from '#contracts/digest.ts'
import { ModelNotFoundError } from '#core/errors.ts'
import { diffPatches } from '#core/patches/diff.ts'
import { fitToModel } from '#core/patches/fit-to-model.ts'
import { type LogEntry, logOf } from '#core/patches/lineage.ts'
import { tensorChanges } from '#core/patches/tensor-changes.ts'
import type { ModelStore } from '#core/ports/model-store.ts'
import type { KeptPatch, PatchLibrary } from '#core/ports/patch-library.ts'
import type { NamedPatch } from './patch-files.ts'
import { withBase } from './patch-transfer.ts'

/**
 * Whether the patch can be applied to its base, which may not be here. Throws `PatchMismatchError` when it cannot, and for a
 * named model `ModelNotFoundError` and `WrongBaseError`.
 */
export async function fitsBase(models: ModelStore, patch: NamedPatch, model?: string): Promise<'fits' | 'not-here'> {
  try {
    await withBase(models, patch, model, async ({ manifest }) => fitToModel(patch.header, manifest.config))
    return 'fits'
  } catch (error) {
    if (model === undefined && error instanceof ModelNotFoundError) return 'not-here'
    throw error
  }
}

export async function changesOf(patch: NamedPatch, signal?: AbortSignal): Promise<TensorChange[]> {
  return tensorChanges(await patch.read(signal))
}

export async function diffOf(left: NamedPatch, right: NamedPatch, signal?: AbortSignal): Promise<PatchDiff> {
  return diffPatches(await sideOf(left, signal), await sideOf(right, signal))
}

async function sideOf(patch: NamedPatch, signal: AbortSignal | undefined) {
  return { digest: patch.digest, baseDigest: patch.header.base.digest, content: await patch.read(signal) }
}

/** What is known of a patch in a log. */
export type LoggedPatch = Pick<NamedPatch, 'digest' | 'header' | 'sizeBytes'> & { readonly tags: readonly string[] }

/** The patch and those it stands on, as far as the library has them. */
export async function logOfPatch(
  library: PatchLibrary,
  patch: NamedPatch,
): Promise<readonly LogEntry<LoggedPatch & Node>[]> {
  const known = new Map<Digest, LoggedPatch & Node>((await library.list()).map((kept) => [kept.digest, nodeOf(kept)]))
  if (!known.has(patch.digest)) known.set(patch.digest, nodeOf({ ...patch, tags: patch.kept?.tags ?? [] }))
  return logOf(patch.digest, (digest) => known.get(digest) ?? null)
}

type Node = { readonly parents: readonly Digest[]; readonly createdAtMs: number }

function nodeOf({ digest, header, sizeBytes, tags }: LoggedPatch | KeptPatch): LoggedPatch & Node {
  return { digest, header, sizeBytes, tags, parents: header.parents, createdAtMs: header.createdAtMs }
}
