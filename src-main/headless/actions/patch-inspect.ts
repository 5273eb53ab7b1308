import { type NamedPatch, openNamedPatch } from '#app/patch-files.ts'
import { fitsBase } from '#app/patch-review.ts'
import { openPatchFiles } from '#assembly/patch-files.ts'
import { shortDigest } from '#contracts/digest.ts'
import { print, printJson } from '../output.ts'
import { countEntries, describePatch, printable } from '../patch-text.ts'
import { cancellable } from './model-progress.ts'
import { existingProfile, type ProfileOptions } from './patch-profile.ts'

export async function inspectPatch(name: string, options: ProfileOptions): Promise<void> {
  await using files = openPatchFiles(existingProfile(options))
  await using patch = await openNamedPatch(files, name)
  const { digest, header, headBytes, sizeBytes } = patch
  if (options.json) printJson({ digest, sizeBytes, headBytes, header, tags: patch.kept?.tags ?? [] })
  else print(describePatch(patch))
}

/** Reads everything: what does not throw is sound. */
export async function verifyPatch(name: string, options: ProfileOptions & { readonly model?: string }): Promise<void> {
  await using files = openPatchFiles(existingProfile(options))
  await using patch = await openNamedPatch(files, name)
  const base = await cancellable(async (signal) => {
    await patch.read(signal)
    return await fitsBase(files.models, patch, options.model)
  })
  const { digest, sizeBytes, header } = patch
  const result = {
    digest,
    sizeBytes,
    base,
    author: header.author.peerId,
    tensors: header.sections.length,
    entries: countEntries(header.sections),
  }
  if (options.json) printJson(result)
  else print(describeVerdict(patch, base))
}

function describeVerdict({ digest, header }: NamedPatch, base: 'fits' | 'not-here'): string {
  const where = `${printable(header.base.name)} (${shortDigest(header.base.digest)})`
  const fit = base === 'fits' ? `It fits its base, ${where}.` : `Its base, ${where}, is not here to compare with.`
  return `Sound: ${digest}, signed by ${header.author.peerId}. ${fit}`
}
