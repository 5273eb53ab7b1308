/**
 * `model.safetensors.index.json`: which of several safetensors files (shards) holds which tensor. The names of files come
 * from a stranger, so only plain names pass: none can lead out of the model's folder.
 * Format: https://huggingface.co/docs/transformers/big_models
 */
import * as z from 'zod'
import { ModelFormatError } from '#core/errors.ts'
import { parseBoundedJson } from './bounded-json.ts'
import { maximumTensors } from './safetensors.ts'

export const safetensorsIndexFile = 'model.safetensors.index.json'
export const maximumIndexBytes = 8 << 20
/** The largest models published so far come in fewer than 200. */
export const maximumShards = 1000

/** Name of the shard of every tensor. */
export type SafetensorsIndex = ReadonlyMap<string, string>

const shardName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,119}\.safetensors$/, 'not the plain name of a .safetensors file')
const indexSchema = z.object({ weight_map: z.record(z.string().min(1).max(256), shardName) })

/** A tensor is a name and a comma; the rest is metadata. */
const limits = { depth: 4, values: 2 * maximumTensors }

/** Pure. Throws `ModelFormatError`. */
export function parseSafetensorsIndex(bytes: Uint8Array): SafetensorsIndex {
  const parsed = indexSchema.safeParse(parseJson(bytes))
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const where = `${safetensorsIndexFile} ${issue?.path.join('.').slice(0, 300)}`
    throw new ModelFormatError(where.trimEnd(), issue?.message ?? 'malformed')
  }
  const index = new Map(Object.entries(parsed.data.weight_map))
  if (index.size === 0) throw new ModelFormatError(safetensorsIndexFile, 'no tensors')
  expectAtMost(maximumTensors, index.size, 'tensors')
  expectAtMost(maximumShards, shardsOf(index).length, 'files')
  return index
}

/** Every file that the index names, once, in the order of the names. */
export function shardsOf(index: SafetensorsIndex): string[] {
  return [...new Set(index.values())].sort()
}

function expectAtMost(most: number, count: number, what: string): void {
  if (count > most) throw new ModelFormatError(safetensorsIndexFile, `${count} ${what}, at most ${most} are read`)
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return parseBoundedJson(bytes, limits)
  } catch (cause) {
    throw new ModelFormatError(safetensorsIndexFile, cause instanceof Error ? cause.message : 'not JSON', { cause })
  }
}
