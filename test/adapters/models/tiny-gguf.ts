/** The tiny model as GGUF, and ways to damage it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Dtype, ModelConfig } from '#contracts/model/manifest.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import {
  fromFloats,
  type GgufFilePlan,
  type GgufMetadata,
  type GgufTensorPlan,
  ggufBytes,
  ggufName,
  scoredMetadata,
  scoredPieces,
  shapeMetadata,
} from '#test/helpers/gguf-writer.ts'
import { tinyConfig, tinyValues } from './tiny-models.ts'

export const ggufConfig: ModelConfig = { ...tinyConfig, ropeStyle: 'interleaved' }
export const ggufPieces = scoredPieces(['▁', 'a', 'b', '▁a', 'ab'])

export interface TinyGguf extends Partial<Omit<GgufFilePlan, 'metadata'>> {
  readonly config?: ModelConfig
  /** Replaces keys; undefined leaves one out. */
  readonly metadata?: Readonly<Record<string, GgufMetadata[string] | undefined>>
  readonly tokenizer?: GgufMetadata
  readonly dtype?: Dtype
  readonly extraTensors?: readonly GgufTensorPlan[]
}

export function tinyGguf(changes: TinyGguf = {}): GgufFilePlan {
  const { config = ggufConfig, metadata = {}, tokenizer = scoredMetadata(ggufPieces), dtype = 'F32' } = changes
  const all = { ...shapeMetadata(config), ...tokenizer, ...metadata }
  const kept = Object.entries(all).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]))
  const tensors = expectedTensors(config).map(({ name, shape }, index) => {
    const values = tinyValues(
      shape.reduce((a, b) => a * b, 1),
      index,
    )
    const stored = shape.length === 1 ? 'F32' : dtype
    return { name: ggufName(name), dtype: stored, shape, fill: fromFloats(values) } satisfies GgufTensorPlan
  })
  return {
    metadata: Object.fromEntries(kept),
    tensors: changes.tensors ?? [...(changes.extraTensors ?? []), ...tensors],
    ...(changes.version === undefined ? {} : { version: changes.version }),
    ...(changes.alignment === undefined ? {} : { alignment: changes.alignment }),
  }
}

export async function placeGguf(folder: string, bytes: Uint8Array = ggufBytes(tinyGguf())): Promise<string> {
  const path = join(folder, 'tiny.gguf')
  await writeFile(path, bytes)
  return path
}

/** A copy changed by `write`, which gets a view that begins at the first `text` in the file, plus `skip` bytes. */
export function patched(bytes: Uint8Array, text: string, skip: number, write: (view: DataView) => void): Uint8Array {
  const copy = bytes.slice()
  const at = Buffer.from(copy.buffer).indexOf(text)
  if (at < 0) throw new RangeError(`no ${text} in the file`)
  write(new DataView(copy.buffer, at + skip))
  return copy
}
