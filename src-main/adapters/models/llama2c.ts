/**
 * llama2.c's version-0 checkpoint (`stories260K.bin` ...): seven int32, then float32 tensors one after the other, each
 * kind for all blocks at once; little-endian. The vocabulary lies beside it in a file of its own. Tensors keep llama2.c's
 * row order, in which rotary pairs are neighbours, and take their canonical names; nothing is recomputed.
 * Format: https://github.com/karpathy/llama2.c (export.py `legacy_export`, run.c `memory_map_weights`)
 */
import { readdir } from 'node:fs/promises'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { InvalidInputError } from '#contracts/errors.ts'
import { type ModelConfig, modelConfigSchema, tensorNames } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError, TokenizerFormatError } from '#core/errors.ts'
import { elementCount, expectedTensors } from '#core/models/expected-tensors.ts'
import { type OpenFile, openFile, readChunks, readRange, readSmallFile } from './files.ts'
import { type ModelSource, maximumTokenizerBytes, toModelName } from './model-source.ts'
import { createLlama2cTokenizer } from './tokenizer-llama2c.ts'
import { hasLlama2cPieces, llama2cTokens } from './tokenizer-llama2c-format.ts'

const headerBytes = 7 * 4
const float32Bytes = 4

/** Opens and checks a checkpoint with the vocabulary beside it. Throws named errors that say which file is wrong. */
export async function openLlama2c(path: string): Promise<ModelSource> {
  const file = await openFile(path, basename(path))
  try {
    const config = await readLlama2cConfig(file)
    const places = llama2cPlaces(config)
    checkSize(file, config, places)
    const bytes = await readVocabulary(dirname(resolve(path)), config.vocabularySize)
    createLlama2cTokenizer(bytes, config)
    return {
      config,
      tensors: expectedTensors(config).map((tensor) => ({ ...tensor, dtype: 'F32' })),
      licence: null,
      suggestedName: toModelName(basename(path, extname(path))),
      tokenizer: {
        kind: 'llama2c',
        beginToken: llama2cTokens.begin,
        endTokens: [...llama2cTokens.end],
        bytes,
      },
      read: (name, signal) => readPlace(file, places, name, signal),
      close: () => file.handle.close(),
    }
  } catch (error) {
    await file.handle.close()
    throw error
  }
}

/** The one checkpoint in a folder: a `.bin` that is not a vocabulary. Throws `InvalidInputError` when there are several. */
export async function findLlama2cCheckpoint(folder: string): Promise<string | null> {
  const found = (await readdir(folder)).filter((name) => name.endsWith('.bin') && !isVocabularyName(name)).sort()
  if (found.length > 1) {
    throw new InvalidInputError(
      'path',
      `the folder holds several checkpoints (${found.slice(0, 5).join(', ')}); name one`,
    )
  }
  return found[0] === undefined ? null : join(folder, found[0])
}

async function readLlama2cConfig(file: OpenFile): Promise<ModelConfig> {
  if (file.sizeBytes < headerBytes) throw new ModelFormatError(file.label, 'shorter than its header')
  const header = await readRange(file, 0, headerBytes)
  refuseOtherFormats(header)
  const parsed = modelConfigSchema.safeParse(toModelConfig(new DataView(header.buffer)))
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new ModelFormatError(`${file.label}: header ${issue?.path.join('.')}`, issue?.message ?? 'malformed')
}

/**
 * What else is called `.bin`: zipped or pickled PyTorch files, and llama2.c's later versions with their magic `ak42`. All
 * of them would make `dim` larger than any model's (its fourth byte is never 0).
 */
function refuseOtherFormats(header: Uint8Array): void {
  const view = new DataView(header.buffer, header.byteOffset)
  const magic = view.getUint32(0, true)
  if (magic === 0x616b3432) throw new ModelUnsupportedError(`llama2.c checkpoint of version ${view.getInt32(4, true)}`)
  if (magic === 0x04034b50) throw new ModelUnsupportedError('zipped PyTorch file')
  if (header[0] === 0x80 && header[3] !== 0) throw new ModelUnsupportedError('pickled PyTorch file')
}

/** dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative when the classifier is its own), seq_len. */
function toModelConfig(header: DataView): ModelConfig {
  const field = (index: number) => header.getInt32(4 * index, true)
  return {
    architecture: 'llama',
    hiddenSize: field(0),
    intermediateSize: field(1),
    blockCount: field(2),
    headCount: field(3),
    kvHeadCount: field(4),
    headSize: field(0) / field(3),
    vocabularySize: Math.abs(field(5)),
    contextLength: field(6),
    rmsNormEpsilon: 1e-5,
    ropeTheta: 10_000,
    ropeStyle: 'interleaved',
    tiedHead: field(5) > 0,
  }
}

interface Place {
  readonly begin: number
  readonly end: number
}

/** Pure: where each tensor lies, in bytes. After the final norm come two rotary tables, which follow from the config. */
export function llama2cPlaces(config: ModelConfig): ReadonlyMap<string, Place> {
  const sizes = new Map(expectedTensors(config).map(({ name, shape }) => [name, float32Bytes * elementCount(shape)]))
  const places = new Map<string, Place>()
  let position = headerBytes
  const place = (name: string) => {
    const end = position + (sizes.get(name) ?? 0)
    places.set(name, { begin: position, end })
    position = end
  }
  place(tensorNames.embedding)
  for (const kind of kindsInOrder) {
    for (let block = 0; block < config.blockCount; block++) place(tensorNames.block(block)[kind])
  }
  place(tensorNames.finalNorm)
  position += rotaryTableBytes(config)
  if (!config.tiedHead) place(tensorNames.head)
  return places
}

/** rms_att, wq, wk, wv, wo, rms_ffn, w1, w2, w3. */
const kindsInOrder = [
  'attentionNorm',
  'query',
  'key',
  'value',
  'output',
  'feedForwardNorm',
  'gate',
  'down',
  'up',
] as const

/** freq_cis_real and freq_cis_imag: (seq_len, headSize / 2) each. */
function rotaryTableBytes(config: ModelConfig): number {
  return float32Bytes * config.contextLength * config.headSize
}

function checkSize(file: OpenFile, config: ModelConfig, places: ReadonlyMap<string, Place>): void {
  const tail = config.tiedHead ? rotaryTableBytes(config) : 0
  const expected = Math.max(...[...places.values()].map(({ end }) => end)) + tail
  if (file.sizeBytes !== expected) {
    throw new ModelFormatError(file.label, `${file.sizeBytes} bytes, the header describes ${expected}`)
  }
}

function readPlace(file: OpenFile, places: ReadonlyMap<string, Place>, name: string, signal?: AbortSignal) {
  const place = places.get(name)
  if (place === undefined) throw new ModelFormatError(file.label, `tensor ${name} is missing`)
  return readChunks(file, place.begin, place.end, signal)
}

function isVocabularyName(name: string): boolean {
  return /^tok.*\.bin$/.test(name)
}

/** The only `tok*.bin` in the folder, or the only one with the model's number of pieces. */
async function readVocabulary(folder: string, vocabularySize: number): Promise<Uint8Array> {
  const names = (await readdir(folder)).filter(isVocabularyName).sort()
  if (names.length > maximumVocabularies)
    throw new TokenizerFormatError('tok*.bin', 'too many vocabularies in the folder')
  const files: Uint8Array[] = []
  for (const name of names) {
    const bytes = await readSmallFile(join(folder, name), name, maximumTokenizerBytes)
    if (names.length === 1 || hasLlama2cPieces(bytes, vocabularySize)) files.push(bytes)
  }
  const [bytes, another] = files
  if (bytes === undefined)
    throw new TokenizerFormatError('tok*.bin', `no vocabulary of ${vocabularySize} pieces beside the model`)
  if (another !== undefined)
    throw new TokenizerFormatError('tok*.bin', `several vocabularies of ${vocabularySize} pieces`)
  return bytes
}

const maximumVocabularies = 16
