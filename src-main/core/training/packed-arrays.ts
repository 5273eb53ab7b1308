/**
 * Arrays as bytes and back, little-endian, as every platform that this runs on has them in memory. Packing gives views, to be
 * encoded at once; unpacking copies.
 */
import type { ItemLoss } from './items.ts'

export function packValues(values: Float32Array): Uint8Array {
  return viewOf(values)
}

export function unpackValues(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer)
}

export function packIndices(indices: Uint32Array): Uint8Array {
  return viewOf(indices)
}

export function unpackIndices(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.slice().buffer)
}

/** Three float64 an item: loss, weight, and 0 or 1 for a question answered wrong or right, -1 for a text. */
export function packItemLosses(items: readonly ItemLoss[]): Uint8Array {
  const rows = items.flatMap(({ loss, weight, right }) => [loss, weight, right === null ? -1 : Number(right)])
  return viewOf(Float64Array.from(rows))
}

export function unpackItemLosses(bytes: Uint8Array): ItemLoss[] {
  const rows = new Float64Array(bytes.slice().buffer)
  return Array.from({ length: rows.length / 3 }, (_, i) => {
    const [loss, weight, right] = rows.subarray(3 * i, 3 * i + 3) as unknown as [number, number, number]
    return { loss, weight, right: right < 0 ? null : right === 1 }
  })
}

function viewOf({ buffer, byteOffset, byteLength }: Float32Array | Float64Array | Uint32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
