/**
 * A PEFT adapter as a patch: (IA)³ vectors as scales, LoRA pairs as factors with alpha / r in the left one. Every tensor's name
 * and shape is checked against the base before its bytes are read. An adapter does not say by digest what it stands on.
 */
import { basename, dirname, join, resolve } from 'node:path'
import { InvalidInputError } from '#contracts/errors.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { compareSections } from '#contracts/patch-file/header-rules.ts'
import type { PatchContent, PatchFactors, PatchScale } from '#contracts/patch-file/patch.ts'
import { ModelFormatError, ModelUnsupportedError, PatchMismatchError } from '#core/errors.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { orderedHeads, reorderHeads } from '#core/models/head-order.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import { scaleSize } from '#core/patches/fit-to-model.ts'
import type { AdapterWarning, ImportedAdapter } from '#core/ports/patch-interop.ts'
import { type OpenFile, readSmallFile, statOrNull, withFile } from './files.ts'
import { readLicence } from './huggingface.ts'
import { type AdapterConfig, adapterConfigFile, maximumAdapterConfigBytes, parseAdapterConfig } from './peft-config.ts'
import { parseAdapterName } from './peft-names.ts'
import { readSafetensorsLayout, readSafetensorsTensor, type SafetensorsEntry } from './safetensors.ts'

export const adapterWeightsFile = 'adapter_model.safetensors'
const pickledWeightsFile = 'adapter_model.bin'

interface AdapterPlace {
  readonly folder: string
  readonly weights: string
  readonly name: string
}

interface Reading {
  readonly file: OpenFile
  readonly config: ModelConfig
  readonly signal: AbortSignal | undefined
}

/** See `PatchInterop.readAdapter`. */
export async function readPeftAdapter(
  path: string,
  config: ModelConfig,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<ImportedAdapter> {
  const { folder, weights, name } = await findAdapter(path)
  const bytes = await readSmallFile(join(folder, adapterConfigFile), adapterConfigFile, maximumAdapterConfigBytes)
  const adapter = parseAdapterConfig(bytes)
  const content = await withFile(join(folder, weights), weights, async (file) => {
    const entries = [...(await readSafetensorsLayout(file)).values()]
    if (entries.length === 0) throw new ModelFormatError(weights, 'no tensors')
    return await readContent({ file, config, signal }, adapter, entries)
  })
  return {
    method: adapter.method,
    content,
    suggestedTitle: name.slice(0, 80),
    licence: await readLicence(folder),
    warnings: warningsOf(adapter),
  }
}

async function findAdapter(path: string): Promise<AdapterPlace> {
  if (path === '' || path.includes('\0')) throw new InvalidInputError('path', 'not a path')
  const found = await statOrNull(path)
  if (found === null) throw new InvalidInputError('path', 'there is nothing at this path')
  const isFolder = found.isDirectory()
  if (!isFolder && !path.endsWith('.safetensors')) refuseFile(path)
  const folder = isFolder ? path : dirname(path)
  const weights = isFolder ? adapterWeightsFile : basename(path)
  const isThere = async (name: string) => (await statOrNull(join(folder, name))) !== null
  if (!(await isThere(weights)) && (await isThere(pickledWeightsFile))) {
    throw new ModelUnsupportedError(`pickled PyTorch weights (${pickledWeightsFile})`)
  }
  const isUsual = weights === adapterWeightsFile
  return { folder, weights, name: isUsual ? basename(resolve(folder)) : weights.replace(/\.safetensors$/, '') }
}

function refuseFile(path: string): never {
  if (/\.(bin|pt|pth|ckpt)$/.test(path)) throw new ModelUnsupportedError(`pickled PyTorch weights (${basename(path)})`)
  if (path.endsWith('.gguf')) throw new ModelUnsupportedError('adapters in GGUF files')
  if (path.endsWith('.onnx')) throw new ModelUnsupportedError('ONNX files')
  throw new InvalidInputError('path', 'neither an adapter’s folder nor a .safetensors file')
}

function warningsOf(adapter: AdapterConfig): AdapterWarning[] {
  const unverified: AdapterWarning = { kind: 'base-unverified', baseName: adapter.baseName }
  const dropped = adapter.method === 'lora' && adapter.dropout > 0
  return dropped ? [unverified, { kind: 'dropout-dropped', dropout: adapter.dropout }] : [unverified]
}

async function readContent(
  reading: Reading,
  adapter: AdapterConfig,
  entries: readonly SafetensorsEntry[],
): Promise<PatchContent> {
  if (adapter.method === 'ia3') return { deltas: [], scales: await readScales(reading, entries), factors: [] }
  return { deltas: [], scales: [], factors: await readFactors(reading, adapter, entries) }
}

async function readScales(reading: Reading, entries: readonly SafetensorsEntry[]): Promise<PatchScale[]> {
  const scales: PatchScale[] = []
  for (const entry of entries) {
    const tensor = parseAdapterName(entry.name, 'ia3')
    if (tensor.kind === 'scale') scales.push(await readScale(reading, entry, tensor))
  }
  return scales
    .map((scale) => ({ kind: 'scale' as const, ...scale }))
    .sort(compareSections)
    .map(({ kind: _, ...scale }) => scale)
}

async function readScale(
  reading: Reading,
  entry: SafetensorsEntry,
  { block, target }: Pick<PatchScale, 'block' | 'target'>,
): Promise<PatchScale> {
  const { config } = reading
  if (block >= config.blockCount) throw new PatchMismatchError(entry.name, `the model has ${config.blockCount} blocks`)
  const size = scaleSize(config, target)
  expectShape(entry, target === 'feedForward' ? [1, size] : [size, 1])
  const values = await readFloats(reading, entry)
  const isReordered = target === 'key' && config.ropeStyle === 'interleaved'
  const shape = { heads: config.kvHeadCount, headSize: config.headSize }
  return { block, target, values: isReordered ? reorderHeads(values, shape, 'interleaved') : values }
}

async function readFactors(
  reading: Reading,
  adapter: Extract<AdapterConfig, { method: 'lora' }>,
  entries: readonly SafetensorsEntry[],
): Promise<PatchFactors[]> {
  const pairs = new Map<string, { left?: SafetensorsEntry; right?: SafetensorsEntry }>()
  for (const entry of entries) {
    const tensor = parseAdapterName(entry.name, 'lora')
    if (tensor.kind === 'scale') continue
    pairs.set(tensor.module, { ...pairs.get(tensor.module), [tensor.kind]: entry })
  }
  const shapes = new Map(expectedTensors(reading.config).map(({ name, shape }) => [name, shape]))
  const factors: PatchFactors[] = []
  for (const [module, { left, right }] of [...pairs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const tensor = `${module}.weight`
    if (left === undefined || right === undefined)
      throw new ModelFormatError(module, 'has but one of lora_A and lora_B')
    factors.push(await readPair(reading, adapter, { tensor, module, shape: shapes.get(tensor) ?? [], left, right }))
  }
  return factors
}

async function readPair(
  reading: Reading,
  { scaling }: Extract<AdapterConfig, { method: 'lora' }>,
  pair: { tensor: string; module: string; shape: readonly number[]; left: SafetensorsEntry; right: SafetensorsEntry },
): Promise<PatchFactors> {
  const { tensor, module, left, right } = pair
  const [out, into] = pair.shape
  if (out === undefined || into === undefined) throw new PatchMismatchError(tensor, 'the model has no such tensor')
  const rank = left.shape[1] ?? 0
  if (rank < 1) throw new ModelFormatError(left.name, `shape [${left.shape}] has no rank`)
  expectShape(left, [out, rank])
  expectShape(right, [rank, into])
  const scale = scaling(module, rank)
  const scaled = (await readFloats(reading, left)).map((value) => value * scale)
  expectFinite(scaled, left.name)
  const heads = reading.config.ropeStyle === 'interleaved' ? orderedHeads(tensor, reading.config) : 0
  const shape = { heads, headSize: reading.config.headSize }
  const ordered = heads === 0 ? scaled : reorderHeads(scaled, shape, 'interleaved')
  return { tensor, shape: [out, into], rank, left: ordered, right: await readFloats(reading, right) }
}

async function readFloats({ file, signal }: Reading, entry: SafetensorsEntry): Promise<Float32Array> {
  if (!['F32', 'F16', 'BF16'].includes(entry.dtype)) {
    throw new ModelFormatError(`${file.label}: ${entry.name}`, `dtype ${entry.dtype} is not one of F32, F16, BF16`)
  }
  const values = decodeFloats(entry.dtype, await readSafetensorsTensor(file, entry, { signal }))
  expectFinite(values, entry.name)
  return values
}

function expectFinite(values: Float32Array, name: string): void {
  const place = values.findIndex((value) => !Number.isFinite(value))
  if (place !== -1) throw new ModelFormatError(name, `number ${place} is ${values[place]}`)
}

function expectShape({ name, shape }: SafetensorsEntry, wanted: readonly number[]): void {
  if (shape.join() === wanted.join()) return
  throw new PatchMismatchError(name, `shape [${shape}], the model asks for [${wanted}]`)
}
