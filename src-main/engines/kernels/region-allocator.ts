/**
 * Which bytes of a memory are taken. Free regions are kept in the order of their addresses, neighbours joined; what is asked
 * for goes to the smallest that holds it (best fit), so that memory given back is used again before any is added. It only
 * keeps the books: no byte is touched.
 */

interface Region {
  readonly start: number
  readonly bytes: number
}

export interface RegionAllocator {
  /** Bytes of regions taken. */
  readonly bytesInUse: number
  /** A region of at least `bytes`, or undefined when no free one is large enough. */
  take(bytes: number): number | undefined
  /** Gives a region back. Throws `RangeError` for what is not the start of a taken one. */
  give(start: number): void
  /** Adds free bytes behind the last. */
  extend(bytes: number): void
  /** How many bytes `extend` must add for `take(bytes)` to succeed at the end. */
  missing(bytes: number): number
}

/** Every region starts at a multiple of this: a cache line. */
export const alignment = 64

/** An allocator of [start, start), to be extended. `start` is a multiple of `alignment`, as is whatever is added. */
export function createRegionAllocator(start: number): RegionAllocator {
  const free: Region[] = []
  const taken = new Map<number, number>()
  let end = start
  let bytesInUse = 0

  /** Index of the first free region that starts at or behind `address`. */
  function indexBehind(address: number): number {
    let low = 0
    let high = free.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (regionAt(middle).start < address) low = middle + 1
      else high = middle
    }
    return low
  }

  const regionAt = (index: number): Region => free[index] as Region

  function smallestThatHolds(bytes: number): number {
    let best = -1
    for (let i = 0; i < free.length; i++) {
      const size = regionAt(i).bytes
      if (size >= bytes && (best === -1 || size < regionAt(best).bytes)) best = i
    }
    return best
  }

  /** Adds a free region, joined with the free neighbours it touches. */
  function insert(region: Region): void {
    let index = indexBehind(region.start)
    let { start, bytes } = region
    const next = free[index]
    const touchesNext = next !== undefined && next.start === start + bytes
    if (touchesNext) bytes += next.bytes
    const previous = free[index - 1]
    const touchesPrevious = previous !== undefined && previous.start + previous.bytes === start
    if (touchesPrevious) {
      start = previous.start
      bytes += previous.bytes
      index--
    }
    free.splice(index, (touchesNext ? 1 : 0) + (touchesPrevious ? 1 : 0), { start, bytes })
  }

  const wholeLines = (bytes: number) => Math.max(1, Math.ceil(bytes / alignment)) * alignment

  return {
    get bytesInUse() {
      return bytesInUse
    },
    take(wanted) {
      const bytes = wholeLines(wanted)
      const index = smallestThatHolds(bytes)
      if (index === -1) return undefined
      const region = regionAt(index)
      const rest = { start: region.start + bytes, bytes: region.bytes - bytes }
      if (rest.bytes === 0) free.splice(index, 1)
      else free[index] = rest
      taken.set(region.start, bytes)
      bytesInUse += bytes
      return region.start
    },
    give(start) {
      const bytes = taken.get(start)
      if (bytes === undefined) throw new RangeError(`no region in use starts at ${start}`)
      taken.delete(start)
      bytesInUse -= bytes
      insert({ start, bytes })
    },
    extend(bytes) {
      insert({ start: end, bytes })
      end += bytes
    },
    missing(bytes) {
      const last = free.at(-1)
      const atEnd = last !== undefined && last.start + last.bytes === end ? last.bytes : 0
      return Math.max(0, wholeLines(bytes) - atEnd)
    },
  }
}
