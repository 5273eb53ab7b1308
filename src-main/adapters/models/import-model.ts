/**
 * Copying a model into the store so that a crash or a kill at any moment leaves nothing or all of it: everything is
 * written and made durable in a staging folder, and one rename publishes it.
 */
import { mkdir, open, rename, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError } from '#contracts/errors.ts'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import { createTensorHasher, type ReadOptions } from './describe-model.ts'
import { statOrNull, syncDirectory, writeAll } from './files.ts'
import { type ModelSource, tokenizerFileNames } from './model-source.ts'
import { safetensorsHeader, tensorBytes, writeSafetensors } from './safetensors-writer.ts'
import { stagingPath } from './staging.ts'
import { manifestFileName, weightsFileName } from './stored-model.ts'

/** What the file system takes for folders and rounding, generously. */
const overheadBytes = 1 << 20

/** Throws `storage-failed` when `directory` has no room for a copy of the source. */
export async function checkFreeSpace(
  directory: string,
  source: ModelSource,
  freeBytes: (directory: string) => Promise<number | null>,
): Promise<void> {
  const free = await freeBytes(directory)
  const tensors = source.tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
  const needed = tensors + safetensorsHeader(source.tensors).length + source.tokenizer.bytes.length + overheadBytes
  if (free === null || free >= needed) return
  const what = 'no space left on the disk'
  throw new CodedError('storage-failed', `${what}: ${needed} bytes needed, ${free} free`, {
    what,
    neededBytes: needed,
    freeBytes: free,
  })
}

/** Bytes an ordinary user may still write; null where the file system does not say. */
export async function freeDiskBytes(directory: string): Promise<number | null> {
  const { bavail, bsize, blocks } = await statfs(directory)
  return blocks === 0 ? null : bavail * bsize
}

/** Writes weights and vocabulary into `folder`. The manifest returned is not written yet: its name may have to change. */
export async function stageModel(
  folder: string,
  source: ModelSource,
  name: string,
  options: ReadOptions,
): Promise<ModelManifest> {
  const hasher = createTensorHasher(source, options)
  await writeDurably(join(folder, weightsFileName), (handle) =>
    writeSafetensors(handle, source.tensors, (tensor) => hasher.read(tensor)),
  )
  const { kind, bytes } = source.tokenizer
  await writeDurably(join(folder, tokenizerFileNames[kind]), (handle) => writeAll(handle, bytes))
  return hasher.manifest(name)
}

/** Completes the staged folder and puts it in its place; what stood there before is set aside and then removed. */
export async function publishModel(directory: string, staged: string, manifest: ModelManifest): Promise<void> {
  await writeDurably(join(staged, manifestFileName), (handle) => writeAll(handle, encodeManifest(manifest)))
  await syncDirectory(staged)
  const place = join(directory, manifest.digest)
  const aside = stagingPath(directory)
  if ((await statOrNull(place)) !== null) await rename(place, aside)
  await rename(staged, place)
  await syncDirectory(directory)
  await rm(aside, { recursive: true, force: true })
}

/** Gives a stored model another name, by replacing its manifest in one step. */
export async function replaceManifest(directory: string, manifest: ModelManifest): Promise<void> {
  const staged = stagingPath(directory)
  try {
    await writeDurably(staged, (handle) => writeAll(handle, encodeManifest(manifest)))
    await rename(staged, join(directory, manifest.digest, manifestFileName))
    await syncDirectory(join(directory, manifest.digest))
  } finally {
    await rm(staged, { force: true })
  }
}

/** Makes the store's folder, readable by its owner only. */
export async function prepareDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
}

function encodeManifest(manifest: ModelManifest): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`)
}

async function writeDurably(path: string, write: (handle: Awaited<ReturnType<typeof open>>) => Promise<void>) {
  const handle = await open(path, 'wx', 0o600)
  try {
    await write(handle)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
