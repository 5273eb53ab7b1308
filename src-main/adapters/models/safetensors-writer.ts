/**
 * Writes safetensors front to back, one chunk in memory at a time. The same tensors in the same order always give the
 * same bytes: keys in a fixed order, no metadata, the header padded with spaces to a multiple of eight as the format's
 * own writer does.
 */
import type { FileHandle } from 'node:fs/promises'
import { type Dtype, storedBytes } from '#contracts/model/manifest.ts'
import { elementCount } from '#core/models/expected-tensors.ts'
import { writeAll } from './files.ts'

export interface TensorPlan {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
}

/** Integers do not occur in models; they are places in them. */
const integerBytes = { I32: 4, I64: 8 } as const

export interface WrittenTensor extends Omit<TensorPlan, 'dtype'> {
  readonly dtype: Dtype | keyof typeof integerBytes
}

export function tensorBytes({ dtype, shape }: WrittenTensor): number {
  const elements = elementCount(shape)
  return dtype === 'I32' || dtype === 'I64' ? integerBytes[dtype] * elements : storedBytes(dtype, elements)
}

/** `read` yields each tensor's bytes when its turn comes. Throws `RangeError` when it yields more or fewer than planned. */
export async function writeSafetensors<T extends WrittenTensor>(
  handle: FileHandle,
  tensors: readonly T[],
  read: (tensor: T) => AsyncIterable<Uint8Array>,
): Promise<void> {
  await writeAll(handle, safetensorsHeader(tensors))
  for (const tensor of tensors) {
    let written = 0
    for await (const chunk of read(tensor)) {
      await writeAll(handle, chunk)
      written += chunk.length
    }
    if (written !== tensorBytes(tensor)) {
      throw new RangeError(`${tensor.name}: ${written} bytes came, ${tensorBytes(tensor)} were planned`)
    }
  }
}

/** Length and header, as they stand at the beginning of the file. */
export function safetensorsHeader(tensors: readonly WrittenTensor[]): Uint8Array {
  let begin = 0
  const rows = tensors.map((tensor) => {
    const end = begin + tensorBytes(tensor)
    const row = [tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, end] }] as const
    begin = end
    return row
  })
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(rows)))
  const padded = Math.ceil(json.length / 8) * 8
  const header = new Uint8Array(8 + padded).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true)
  header.set(json, 8)
  return header
}
