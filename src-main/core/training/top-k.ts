/**
 * The largest of many numbers that are not negative, in linear time: of such floats the bits are in the order of the numbers,
 * so two histograms, of the upper and of the lower half of the bits, find the least one that is chosen. Nothing is sorted
 * and nothing is copied.
 */

const infinity = 0x7f800000

/**
 * Places of the `count` largest of all `groups` together, ascending in each group. Of equal ones the first are taken.
 * Throws `RangeError` for a number that is negative, infinite or none, and for a count above the numbers there are.
 */
export function selectLargest(groups: readonly Float32Array[], count: number): Uint32Array[] {
  const bits = groups.map((group) => new Uint32Array(group.buffer, group.byteOffset, group.length))
  const total = bits.reduce((sum, { length }) => sum + length, 0)
  if (count > total) throw new RangeError(`${count} wanted of ${total}`)
  const upper = upperHistogram(bits)
  const [bin, beforeBin] = findRank(upper, count)
  const [low, beforeLow] = findRank(lowerHistogram(bits, bin), count - beforeBin)
  return take(bits, bin * 0x10000 + low, count - beforeBin - beforeLow)
}

function upperHistogram(groups: readonly Uint32Array[]): Uint32Array {
  const histogram = new Uint32Array(0x8000)
  for (const [g, group] of groups.entries()) {
    for (let i = 0; i < group.length; i++) {
      const bits = group[i] as number
      if (bits >= infinity) throw new RangeError(`number ${i} of group ${g} is negative or not finite`)
      const bin = bits >>> 16
      histogram[bin] = (histogram[bin] as number) + 1
    }
  }
  return histogram
}

function lowerHistogram(groups: readonly Uint32Array[], upper: number): Uint32Array {
  const histogram = new Uint32Array(0x10000)
  for (const group of groups) {
    for (let i = 0; i < group.length; i++) {
      const bits = group[i] as number
      if (bits >>> 16 === upper) histogram[bits & 0xffff] = (histogram[bits & 0xffff] as number) + 1
    }
  }
  return histogram
}

/** The bin that holds the number of rank `count` from above, and how many are above that bin. */
function findRank(histogram: Uint32Array, count: number): readonly [bin: number, above: number] {
  let above = 0
  for (let bin = histogram.length - 1; bin >= 0; bin--) {
    const here = histogram[bin] as number
    if (above + here >= count) return [bin, above]
    above += here
  }
  return [0, above]
}

/** All above `threshold`, and the first `ties` of those equal to it. */
function take(groups: readonly Uint32Array[], threshold: number, ties: number): Uint32Array[] {
  let tiesLeft = ties
  return groups.map((group) => {
    const taken: number[] = []
    for (let i = 0; i < group.length; i++) {
      const bits = group[i] as number
      if (bits < threshold) continue
      if (bits === threshold && tiesLeft-- <= 0) continue
      taken.push(i)
    }
    return Uint32Array.from(taken)
  })
}
