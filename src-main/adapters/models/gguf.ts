/**
 * A model in one GGUF file: shape and vocabulary from the metadata, tensors under their canonical names. Bytes are taken
 * over as they are, quantised or not; nothing is permuted or computed again.
 */
import { readdir } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { InvalidInputError } from '#contracts/errors.ts'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import { type OpenFile, openFile, readChunks, readRange, withFile } from './files.ts'
import { ggufConfig } from './gguf-config.ts'
import type { GgufFields } from './gguf-fields.ts'
import { type GgufLayout, type GgufTensor, ggufMagic, readGgufLayout } from './gguf-layout.ts'
import { type ModelSource, toModelName } from './model-source.ts'
import { createGgufTokenizer } from './tokenizer-gguf.ts'
import { ggufTokenizerSource } from './tokenizer-gguf-metadata.ts'

const rotaryDivisors = 'rope_freqs.weight'
const maximumDivisors = 2048

/** Opens and checks a file. Throws `ModelFormatError`, `ModelUnsupportedError` or `TokenizerFormatError`. */
export async function openGguf(path: string): Promise<ModelSource> {
  const file = await openFile(path, basename(path))
  try {
    const layout = await readGgufLayout(file)
    const config = ggufConfig(layout, await readDivisors(file, layout), file.label)
    const tensors = selectGgufTensors(config, layout, file.label)
    const places = new Map(tensors.map((tensor) => [tensor.name, tensor]))
    const tokenizer = ggufTokenizerSource(layout.fields, config.vocabularySize)
    const { beginToken, endTokens, bytes } = tokenizer
    createGgufTokenizer(bytes, { vocabularySize: config.vocabularySize, beginToken, endTokens })
    return {
      config,
      tensors: tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
      licence: licenceOf(layout.fields),
      suggestedName: toModelName(basename(path, extname(path))),
      tokenizer,
      read: (name, signal) => {
        const place = places.get(name)
        if (place === undefined) throw new ModelFormatError(file.label, `tensor ${name} is missing`)
        return readChunks(file, place.begin, place.end, signal)
      },
      close: () => file.handle.close(),
    }
  } catch (error) {
    await file.handle.close()
    throw error
  }
}

/** Whether a file begins as GGUF does. */
export async function isGguf(path: string): Promise<boolean> {
  return withFile(path, basename(path), async (file) => {
    if (file.sizeBytes < ggufMagic.length) return false
    return (await readRange(file, 0, ggufMagic.length)).every((byte, index) => byte === ggufMagic[index])
  })
}

/** The one `.gguf` in a folder. Throws `InvalidInputError` when there are several. */
export async function findGguf(folder: string): Promise<string | null> {
  const [name, ...others] = (await readdir(folder)).filter((each) => each.endsWith('.gguf')).sort()
  if (others.length > 0) {
    const names = [name, ...others].slice(0, 5).join(', ')
    throw new InvalidInputError('path', `the folder holds several .gguf files (${names}); name one`)
  }
  return name === undefined ? null : join(folder, name)
}

/** Pure: the tensors that the config asks for, under their canonical names, in file order. Others are refused by name. */
export function selectGgufTensors(config: ModelConfig, layout: GgufLayout, label: string): GgufTensor[] {
  const canonical = canonicalNames(config)
  for (const [name, { shape }] of canonical) {
    const found = layout.tensors.get(name)
    if (found === undefined) throw new ModelFormatError(label, `tensor ${name} is missing`)
    if (found.shape.join() !== shape.join()) {
      const what = `shape [${found.shape}], the metadata ask for [${shape}] (rows first)`
      throw new ModelFormatError(`${label}: tensor ${name}`, what)
    }
  }
  const extra = [...layout.tensors.keys()].find((name) => !canonical.has(name) && name !== rotaryDivisors)
  if (extra !== undefined) throw new ModelUnsupportedError(`tensor ${extra.slice(0, 256)}`)
  return [...layout.tensors.values()].flatMap((tensor) => {
    const name = canonical.get(tensor.name)?.name
    return name === undefined ? [] : [{ ...tensor, name }]
  })
}

/** GGUF's name -> the tensor we expect under it. */
function canonicalNames(config: ModelConfig): ReadonlyMap<string, { name: string; shape: readonly number[] }> {
  const ours = new Map([
    [tensorNames.embedding as string, 'token_embd.weight'],
    [tensorNames.finalNorm, 'output_norm.weight'],
    [tensorNames.head, 'output.weight'],
  ])
  for (let index = 0; index < config.blockCount; index++) {
    const names = tensorNames.block(index)
    for (const role of blockRoles) ours.set(names[role], `blk.${index}.${ggufRoles[role]}`)
  }
  return new Map(expectedTensors(config).map((tensor) => [ours.get(tensor.name) ?? tensor.name, tensor]))
}

const ggufRoles = {
  attentionNorm: 'attn_norm.weight',
  query: 'attn_q.weight',
  key: 'attn_k.weight',
  value: 'attn_v.weight',
  output: 'attn_output.weight',
  feedForwardNorm: 'ffn_norm.weight',
  gate: 'ffn_gate.weight',
  up: 'ffn_up.weight',
  down: 'ffn_down.weight',
  queryBias: 'attn_q.bias',
  keyBias: 'attn_k.bias',
  valueBias: 'attn_v.bias',
  queryNorm: 'attn_q_norm.weight',
  keyNorm: 'attn_k_norm.weight',
} as const
const blockRoles = Object.keys(ggufRoles) as (keyof typeof ggufRoles)[]

async function readDivisors(file: OpenFile, { tensors }: GgufLayout): Promise<Float32Array | null> {
  const place = tensors.get(rotaryDivisors)
  if (place === undefined) return null
  const [length = 0, ...more] = place.shape
  if (place.dtype !== 'F32' || more.length > 0 || length > maximumDivisors) {
    throw new ModelFormatError(`${file.label}: tensor ${rotaryDivisors}`, `${place.dtype} of shape [${place.shape}]`)
  }
  return decodeFloats('F32', await readRange(file, place.begin, place.end))
}

function licenceOf(fields: GgufFields): string | null {
  const licence = fields.text('general.license')?.trim() ?? ''
  return licence === '' || licence.length > 128 ? null : licence
}
