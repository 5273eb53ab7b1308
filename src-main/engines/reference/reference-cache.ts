/** What a session does with the key-value caches of its blocks besides running over them. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { KeyValueCache } from '#core/numerics/key-value-cache.ts'

/** Elements of one position's keys, or values, in one block. */
export function keyValueWidth({ kvHeadCount, headSize }: ModelConfig): number {
  return kvHeadCount * headSize
}

export function cacheBytes(caches: readonly KeyValueCache[]): number {
  return caches.reduce((sum, { keys, values }) => sum + keys.byteLength + values.byteLength, 0)
}

/** The first `length` positions, in memory of their own. */
export function copyPrefix(cache: KeyValueCache, length: number, width: number): KeyValueCache {
  return { length, keys: cache.keys.slice(0, length * width), values: cache.values.slice(0, length * width) }
}

/** (blocks, 2, length, width): the keys of a block, then its values. */
export function packCaches(caches: readonly KeyValueCache[], length: number, width: number): Float32Array {
  const size = length * width
  const packed = new Float32Array(caches.length * 2 * size)
  for (const [i, { keys, values }] of caches.entries()) {
    packed.set(keys.subarray(0, size), 2 * i * size)
    packed.set(values.subarray(0, size), (2 * i + 1) * size)
  }
  return packed
}

/** The inverse of `packCaches`, for so many blocks. */
export function unpackCaches(packed: Float32Array, blocks: number, width: number): KeyValueCache[] {
  const size = packed.length / (2 * blocks)
  const part = (i: number) => Float64Array.from(packed.subarray(i * size, (i + 1) * size))
  return Array.from({ length: blocks }, (_, i) => ({
    length: size / width,
    keys: part(2 * i),
    values: part(2 * i + 1),
  }))
}
