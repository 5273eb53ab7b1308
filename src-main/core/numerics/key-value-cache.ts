/** What attention remembers of a sequence in one block: keys (already turned by RoPE) and values of every position. */
export interface KeyValueCache {
  /** Positions remembered. Lower it to forget the last ones. */
  length: number
  keys: Float64Array // (capacity, kvHeads, headSize)
  values: Float64Array // (capacity, kvHeads, headSize)
}

export function createKeyValueCache(): KeyValueCache {
  return { length: 0, keys: new Float64Array(0), values: new Float64Array(0) }
}

/** Appends `keys` and `values`: (tokens, kvWidth), where kvWidth = kvHeads * headSize. */
export function appendToCache(cache: KeyValueCache, keys: Float64Array, values: Float64Array, kvWidth: number): void {
  const start = cache.length * kvWidth
  cache.keys = withRoom(cache.keys, start + keys.length)
  cache.values = withRoom(cache.values, start + values.length)
  cache.keys.set(keys, start)
  cache.values.set(values, start)
  cache.length += keys.length / kvWidth
}

/** The same elements with room for `length`; at least doubles, so that appending stays cheap. */
function withRoom(elements: Float64Array, length: number): Float64Array {
  if (elements.length >= length) return elements
  const grown = new Float64Array(Math.max(length, 2 * elements.length))
  grown.set(elements)
  return grown
}
