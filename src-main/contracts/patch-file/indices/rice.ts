/**
 * Rice's code of the gaps between indices: near the least possible for places at random, and the fastest to read.
 *
 *     parameter m (one byte, 0 to 31), then for each index, with gap = index - index before - 1 (the first: index):
 *       floor(gap / 2^m) zeros, a one, the m low bits of gap          bits from the highest of a byte down, zeros to fill the last
 */
import { PatchFormatError } from '../errors.ts'

const mostParameter = 31

export interface RicePlan {
  readonly parameter: number
  readonly bytes: number
}

/** The best parameter next to the mean gap's logarithm, and what it takes. */
export function planRice(indices: Uint32Array): RicePlan {
  const count = indices.length
  const gaps = (indices[count - 1] as number) + 1 - count
  const guess = 31 - Math.clz32(Math.max(1, Math.floor(gaps / count)))
  let best: RicePlan = { parameter: 0, bytes: Number.POSITIVE_INFINITY }
  for (let parameter = Math.max(0, guess - 1); parameter <= Math.min(mostParameter, guess + 1); parameter++) {
    const bytes = 1 + Math.ceil((unaryZeros(indices, parameter) + count * (parameter + 1)) / 8)
    if (bytes < best.bytes) best = { parameter, bytes }
  }
  return best
}

function unaryZeros(indices: Uint32Array, parameter: number): number {
  let zeros = 0
  let from = 0
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number
    zeros += (index - from) >>> parameter
    from = index + 1
  }
  return zeros
}

export function encodeRice(indices: Uint32Array, { parameter, bytes }: RicePlan): Uint8Array<ArrayBuffer> {
  const target = new Uint8Array(bytes)
  target[0] = parameter
  const low = 2 ** parameter - 1
  let byte = 1
  let offset = 0
  let from = 0
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number
    const gap = index - from
    from = index + 1
    const zeros = offset + (gap >>> parameter)
    byte += zeros >>> 3
    offset = zeros & 7
    target[byte] = (target[byte] as number) | (0x80 >> offset)
    offset++
    for (let left = parameter; left > 0; ) {
      if (offset === 8) {
        offset = 0
        byte++
      }
      const taken = Math.min(8 - offset, left)
      left -= taken
      const bits = ((gap & low) >>> left) & ((1 << taken) - 1)
      target[byte] = (target[byte] as number) | (bits << (8 - offset - taken))
      offset += taken
    }
    if (offset === 8) {
      offset = 0
      byte++
    }
  }
  return target
}

/**
 * Indices below `places`, strictly ascending because gaps are not negative. Throws `PatchFormatError` for a parameter, a run of zeros or
 * an end that no such set has; at most one array of `entries` is allocated, after the bytes were found to be enough.
 */
export function decodeRice(
  bytes: Uint8Array,
  { places, entries }: { readonly places: number; readonly entries: number },
): Uint32Array<ArrayBuffer> {
  const parameter = bytes[0] ?? mostParameter + 1
  if (parameter > mostParameter) throw new PatchFormatError('indices', `have Rice parameter ${parameter}`)
  if (8 * (bytes.length - 1) < entries * (parameter + 1)) throw new PatchFormatError('indices', 'end too early')
  const indices = new Uint32Array(entries)
  let byte = 1
  let offset = 0
  let from = 0
  for (let i = 0; i < entries; i++) {
    let zeros = 0
    let window = windowAt(bytes, byte, offset)
    while (window === 0) {
      zeros += 32
      byte += 4
      if (byte >= bytes.length) throw new PatchFormatError('indices', 'end within a run of zeros')
      window = windowAt(bytes, byte, offset)
    }
    const run = Math.clz32(window)
    zeros += run
    offset += run + 1
    byte += offset >>> 3
    offset &= 7
    const remainder = parameter === 0 ? 0 : windowAt(bytes, byte, offset) >>> (32 - parameter)
    offset += parameter
    byte += offset >>> 3
    offset &= 7
    const index = from + zeros * 2 ** parameter + remainder
    if (index >= places) throw new PatchFormatError(`index ${i}`, `${index} is outside of ${places} places`)
    indices[i] = index
    from = index + 1
  }
  checkEnd(bytes, byte, offset)
  return indices
}

/** 32 bits from bit `offset` of `byte` on, zeros past the end. */
function windowAt(bytes: Uint8Array, byte: number, offset: number): number {
  if (byte + 4 >= bytes.length) return windowAtEnd(bytes, byte, offset)
  const first =
    ((bytes[byte] as number) << 24) |
    ((bytes[byte + 1] as number) << 16) |
    ((bytes[byte + 2] as number) << 8) |
    (bytes[byte + 3] as number)
  return ((first << offset) | ((bytes[byte + 4] as number) >>> (8 - offset))) >>> 0
}

function windowAtEnd(bytes: Uint8Array, byte: number, offset: number): number {
  let window = 0
  for (let i = 0; i < 4; i++) window = (window << 8) | (bytes[byte + i] ?? 0)
  return ((window << offset) | ((bytes[byte + 4] ?? 0) >>> (8 - offset))) >>> 0
}

function checkEnd(bytes: Uint8Array, byte: number, offset: number): void {
  const length = offset === 0 ? byte : byte + 1
  if (length !== bytes.length) throw new PatchFormatError('indices', `take ${length} bytes of ${bytes.length}`)
  const filling = offset === 0 ? 0 : (bytes[byte] as number) & (0xff >> offset)
  if (filling !== 0) throw new PatchFormatError('indices', 'do not end in zeros')
}
