import { createDataDirectory } from '#adapters/files/data-directory.ts'
import { type NamedPatch, openNamedPatch } from '#app/patch-files.ts'
import { applyNamed, convertAdapter, exportPatch, importPatch, patchPieces } from '#app/patch-transfer.ts'
import { openPatchFiles } from '#assembly/patch-files.ts'
import type { patchExportFormats } from '#contracts/api/patches.ts'
import { shortDigest } from '#contracts/digest.ts'
import type { AdapterWarning } from '#core/ports/patch-interop.ts'
import { formatBytes, print, printJson } from '../output.ts'
import { printable } from '../patch-text.ts'
import { cancellable, createProgressLine } from './model-progress.ts'
import { existingProfile, type ProfileOptions } from './patch-profile.ts'

interface ApplyOptions extends ProfileOptions {
  readonly model: string
  readonly out: string
}

export async function applyPatches(names: readonly string[], options: ApplyOptions): Promise<void> {
  await using files = openPatchFiles(existingProfile(options))
  await using parts = new AsyncDisposableStack()
  const patches: NamedPatch[] = []
  for (const name of names) patches.push(parts.use(await openNamedPatch(files, name)))
  const line = createProgressLine()
  const written = await cancellable((signal) =>
    applyNamed(files, patches, {
      model: options.model,
      path: options.out,
      signal,
      onProgress: (progress) => line.show('Writing', progress),
    }),
  ).finally(line.end)
  if (options.json) return printJson(written)
  const how = written.importable
    ? 'It can be taken in with `quiltbee model import`.'
    : 'Its vocabulary file is that of the base, which is none of Hugging Face’s: `quiltbee model import` cannot take it in.'
  print(`Wrote ${written.path}, ${formatBytes(written.bytes)}; changed tensors are float32. ${how}`)
}

interface ExportOptions extends ProfileOptions {
  readonly format: (typeof patchExportFormats)[number]
  readonly out: string
}

export async function exportNamed(name: string, { format, out, ...options }: ExportOptions): Promise<void> {
  await using files = openPatchFiles(existingProfile(options))
  await using patch = await openNamedPatch(files, name)
  const line = createProgressLine()
  const onProgress = (progress: { bytesDone: number; bytesTotal: number }) => line.show('Writing', progress)
  const written = await cancellable((signal) =>
    exportPatch(files, patch, { format, path: out, signal, onProgress }),
  ).finally(line.end)
  if (options.json) printJson({ format, ...written })
  else print(`Wrote ${written.path}, ${formatBytes(written.bytes)}.`)
}

interface ImportOptions extends ProfileOptions {
  readonly model?: string
  readonly title?: string
  readonly out?: string
}

export async function importFrom(path: string, { model, title, out, ...options }: ImportOptions): Promise<void> {
  const directory = existingProfile(options)
  createDataDirectory(directory)
  await using files = openPatchFiles(directory)
  const request = { path, model: model ?? null, title: title ?? null }
  const components = await files.convert()
  if (out !== undefined) {
    const { written, warnings } = await cancellable((signal) => convertAdapter(components, request, signal))
    const { path: made, bytes } = await files.interop.writePatchFile(patchPieces(written), { path: out })
    if (options.json) return printJson({ digest: written.digest, path: made, bytes, warnings })
    print([...warnings.map(describeWarning), `Wrote ${made}, ${formatBytes(bytes)}.`].join('\n'))
    return
  }
  const library = await files.library()
  const { patch, warnings } = await cancellable((signal) => importPatch({ ...components, library }, request, signal))
  const { digest, header, sizeBytes } = patch
  if (options.json) return printJson({ digest, title: header.title, base: header.base, sizeBytes, warnings })
  const sentence = `Imported ${printable(header.title)} (${shortDigest(digest)}), ${formatBytes(sizeBytes)}.`
  print([...warnings.map(describeWarning), sentence].join('\n'))
}

function describeWarning(warning: AdapterWarning): string {
  if (warning.kind === 'dropout-dropped')
    return `Note: its dropout of ${warning.dropout} was for training and is not kept.`
  const named =
    warning.baseName === null ? 'names no base' : `names its base ${printable(warning.baseName)}, and no digest`
  return `Note: the adapter ${named}: that it is for this model is your word.`
}
