/**
 * One model as it lies in a folder of the store (or of the app's resources), and the handle that reads it. The weights
 * file's layout must agree with the manifest before the first tensor is read, and every tensor's bytes with the
 * manifest's SHA-256 when it is: a disk that changed them is found out here, not in a wrong answer to a peer.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Digest } from '#contracts/digest.ts'
import { CodedError } from '#contracts/errors.ts'
import { type ModelManifest, modelManifestSchema, type TensorEntry } from '#contracts/model/manifest.ts'
import { maximumTrainingNoteBytes, type TrainingNote, trainingNoteFileName } from '#contracts/model/training-note.ts'
import { parseTrainingNote } from '#core/data/training-note.ts'
import { ModelFormatError } from '#core/errors.ts'
import { modelDigest } from '#core/models/model-digest.ts'
import type { ModelHandle, StoredTensor, Tokenizer } from '#core/ports/model-store.ts'
import { parseBoundedJson } from './bounded-json.ts'
import { type OpenFile, openFile, readSmallFile, statOrNull } from './files.ts'
import { maximumTokenizerBytes, tokenizerFileNames } from './model-source.ts'
import { readSafetensorsLayout, readSafetensorsTensor, type SafetensorsLayout } from './safetensors.ts'
import { createGgufTokenizer } from './tokenizer-gguf.ts'
import { createHuggingFaceTokenizer } from './tokenizer-huggingface.ts'
import { createLlama2cTokenizer } from './tokenizer-llama2c.ts'

export const weightsFileName = 'model.safetensors'
export const manifestFileName = 'manifest.json'
const maximumManifestBytes = 16 << 20

/** Opens the weights and compares them with the manifest. Throws `ModelFormatError`. */
export async function openStoredModel(folder: string, manifest: ModelManifest): Promise<ModelHandle> {
  const file = await openFile(join(folder, weightsFileName), weightsFileName)
  try {
    const layout = await readSafetensorsLayout(file)
    for (const entry of manifest.tensors) expectSameTensor(entry, layout)
    return createHandle(folder, manifest, file, layout)
  } catch (error) {
    await file.handle.close()
    throw error
  }
}

/** Reads and checks the manifest of the folder named `digest`. Throws `ModelFormatError`. */
export async function readManifest(folder: string, digest: Digest): Promise<ModelManifest> {
  const bytes = await readSmallFile(join(folder, manifestFileName), manifestFileName, maximumManifestBytes)
  const parsed = modelManifestSchema.safeParse(parseJson(bytes))
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new ModelFormatError(`${manifestFileName} ${issue?.path.join('.')}`, issue?.message ?? 'malformed')
  }
  const { config, tensors } = parsed.data
  if (parsed.data.digest !== digest || modelDigest(config, tensors) !== digest) {
    throw new ModelFormatError(manifestFileName, 'the digest does not belong to this model')
  }
  return parsed.data
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return parseBoundedJson(bytes, { depth: 8, values: 1_000_000 })
  } catch (cause) {
    throw new ModelFormatError(manifestFileName, cause instanceof Error ? cause.message : 'not JSON', { cause })
  }
}

function expectSameTensor({ name, dtype, shape }: TensorEntry, layout: SafetensorsLayout): void {
  const found = layout.get(name)
  if (found === undefined || found.dtype !== dtype || found.shape.join() !== shape.join()) {
    throw new ModelFormatError(`${weightsFileName}: tensor ${name}`, 'contradicts the manifest')
  }
}

function createHandle(folder: string, manifest: ModelManifest, file: OpenFile, layout: SafetensorsLayout): ModelHandle {
  const entries = new Map(manifest.tensors.map((entry) => [entry.name, entry]))
  let tokenizer: Promise<Tokenizer> | null = null
  let closing: Promise<void> | null = null
  const expectOpen = () => {
    if (closing !== null) throw new CodedError('internal', `${manifest.name}: the model has been closed`)
  }
  return {
    manifest,
    async readTensor(name, options = {}) {
      expectOpen()
      const entry = entries.get(name)
      if (entry === undefined) throw new ModelFormatError(manifest.name, `there is no tensor ${name.slice(0, 256)}`)
      return readVerified(file, layout, entry, options.signal)
    },
    async tokenizer() {
      expectOpen()
      tokenizer ??= readTokenizer(folder, manifest)
      return tokenizer
    },
    trainingNote: () => readTrainingNote(folder),
    close() {
      closing ??= file.handle.close()
      return closing
    },
  }
}

async function readVerified(
  file: OpenFile,
  layout: SafetensorsLayout,
  entry: TensorEntry,
  signal: AbortSignal | undefined,
): Promise<StoredTensor> {
  signal?.throwIfAborted()
  const place = layout.get(entry.name)
  if (place === undefined) throw new ModelFormatError(file.label, `tensor ${entry.name} is missing`)
  const hash = createHash('sha256')
  const bytes = await readSafetensorsTensor(file, place, { signal, onChunk: (chunk) => hash.update(chunk) })
  if (hash.digest('hex') !== entry.sha256) {
    throw new ModelFormatError(`${file.label}: tensor ${entry.name}`, 'the bytes on disk have changed since the import')
  }
  return { name: entry.name, dtype: entry.dtype, shape: entry.shape, bytes }
}

async function readTokenizer(folder: string, manifest: ModelManifest): Promise<Tokenizer> {
  const { kind, beginToken, endTokens } = manifest.tokenizer
  const fileName = tokenizerFileNames[kind]
  const bytes = await readSmallFile(join(folder, fileName), fileName, maximumTokenizerBytes)
  if (sha256(bytes) !== manifest.tokenizer.sha256) {
    throw new ModelFormatError(fileName, 'the bytes on disk have changed since the import')
  }
  const init = { vocabularySize: manifest.config.vocabularySize, beginToken, endTokens }
  switch (kind) {
    case 'llama2c':
      return createLlama2cTokenizer(bytes, init)
    case 'huggingface':
      return createHuggingFaceTokenizer(bytes, init)
    case 'gguf':
      return createGgufTokenizer(bytes, init)
  }
}

async function readTrainingNote(folder: string): Promise<TrainingNote | null> {
  const path = join(folder, trainingNoteFileName)
  if ((await statOrNull(path)) === null) return null
  const bytes = await readSmallFile(path, trainingNoteFileName, maximumTrainingNoteBytes)
  try {
    return parseTrainingNote(bytes)
  } catch (cause) {
    throw new ModelFormatError(trainingNoteFileName, cause instanceof Error ? cause.message : 'malformed', { cause })
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
