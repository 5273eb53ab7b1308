/**
 * Weights as small integers with a scale for every group of a row's neighbours (group-wise symmetric quantisation). The
 * layout is the one that onnxruntime's MatMulNBits defines, which every backend here uses: codes (rows, groups,
 * group * bits / 8) with 4-bit codes two a byte, the first in the low half; scales (rows, groups). A row's last group is
 * filled up with zeros. A code c stands for (c - zero point) * scale, the zero point being 2^(bits - 1).
 */

export interface Quantisation {
  readonly bits: 4 | 8
  /** Weights that share a scale: a power of two from 16 on. */
  readonly group: number
}

export interface QuantisedMatrix {
  readonly codes: Uint8Array
  readonly scales: Float32Array
}

/** Bytes of a (rows, columns) matrix: codes and float32 scales. */
export function quantisedSizes(rows: number, columns: number, { bits, group }: Quantisation) {
  const groups = rows * Math.ceil(columns / group)
  return { groups, codeBytes: (groups * group * bits) / 8, scaleBytes: groups * Float32Array.BYTES_PER_ELEMENT }
}

/** `values` (rows, columns), all finite, rounded to nearest. A group whose scale would be subnormal is all zeros. */
export function quantise(
  values: Float32Array,
  rows: number,
  columns: number,
  quantisation: Quantisation,
): QuantisedMatrix {
  const { bits, group } = quantisation
  const { groups, codeBytes } = quantisedSizes(rows, columns, quantisation)
  const codes = new Uint8Array(codeBytes)
  const scales = new Float32Array(groups)
  const groupsPerRow = groups / rows
  const quantiseGroup = bits === 8 ? quantiseGroup8 : quantiseGroup4
  const groupBytes = (group * bits) / 8
  for (let g = 0; g < groups; g++) {
    const row = Math.floor(g / groupsPerRow)
    const first = (g % groupsPerRow) * group
    const start = row * columns + first
    const end = row * columns + Math.min(columns, first + group)
    scales[g] = quantiseGroup(values, start, end, codes, g * groupBytes, groupBytes)
  }
  return { codes, scales }
}

/** What the codes stand for -> (rows, columns) */
export function dequantise(
  { codes, scales }: QuantisedMatrix,
  rows: number,
  columns: number,
  { bits, group }: Quantisation,
): Float32Array {
  const values = new Float32Array(rows * columns)
  const groupsPerRow = Math.ceil(columns / group)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const g = row * groupsPerRow + Math.floor(column / group)
      const place = g * group + (column % group)
      const code =
        bits === 8 ? (codes[place] as number) - 128 : nibble(codes[place >> 1] as number, (place & 1) === 1) - 8
      values[row * columns + column] = code * (scales[g] as number)
    }
  }
  return values
}

/** So near to the largest float32 that it does not matter, so far from it that no rounding reaches beyond. */
const largestMagnitude = (1 - 2 ** -20) * 2 ** 128
const leastNormalFloat = 2 ** -126

/** As float32: `largestCode` of it are `extreme`. Subnormals have lost digits: codes made with them would not fit their bits. */
function toScale(extreme: number, largestCode: number): number {
  const scale = Math.max(-largestMagnitude, Math.min(largestMagnitude, extreme)) / largestCode
  return Math.abs(scale) < leastNormalFloat ? 0 : Math.fround(scale)
}

const nibble = (byte: number, high: boolean): number => (high ? byte >> 4 : byte & 15)

/** Writes the group's codes and gives its scale: the largest magnitude becomes 127. */
function quantiseGroup8(
  values: Float32Array,
  start: number,
  end: number,
  codes: Uint8Array,
  place: number,
  groupBytes: number,
): number {
  const scale = toScale(Math.abs(extreme(values, start, end)), 127)
  const inverse = scale > 0 ? 1 / scale : 0
  for (let i = start; i < end; i++) codes[place + i - start] = Math.round((values[i] as number) * inverse) + 128
  codes.fill(128, place + end - start, place + groupBytes)
  return scale
}

/** Where the extreme value may fall, as shares of the largest code: rounding all of a group well can be worth clipping it. */
const stretches = [1, 0.94, 0.88, 0.82, 1.06, 1.14] as const

/** As `quantiseGroup8`; the extreme becomes -8, the code that has no positive twin, or near it if that errs less. */
function quantiseGroup4(
  values: Float32Array,
  start: number,
  end: number,
  codes: Uint8Array,
  place: number,
  groupBytes: number,
): number {
  const widest = extreme(values, start, end)
  let best = 0
  let leastError = Number.POSITIVE_INFINITY
  for (const stretch of stretches) {
    const scale = toScale(widest * stretch, -8)
    if (scale === 0) continue
    const error = squaredError4(values, start, end, scale)
    if (error < leastError) {
      leastError = error
      best = scale
    }
  }
  const inverse = best === 0 ? 0 : 1 / best
  codes.fill(0x88, place, place + groupBytes)
  for (let i = start; i < end; i++) {
    const code = code4((values[i] as number) * inverse)
    const at = place + ((i - start) >> 1)
    codes[at] =
      ((i - start) & 1) === 0 ? ((codes[at] as number) & 0xf0) | code : ((codes[at] as number) & 15) | (code << 4)
  }
  return best
}

function squaredError4(values: Float32Array, start: number, end: number, scale: number): number {
  const inverse = 1 / scale
  let sum = 0
  for (let i = start; i < end; i++) {
    const value = values[i] as number
    const error = (code4(value * inverse) - 8) * scale - value
    sum += error * error
  }
  return sum
}

/** `scaled`, in steps of the scale, to a code from 0 to 15. */
function code4(scaled: number): number {
  const code = Math.round(scaled) + 8
  return code < 0 ? 0 : code > 15 ? 15 : code
}

/** The value of the largest magnitude, with its sign. */
function extreme(values: Float32Array, start: number, end: number): number {
  let least = 0
  let most = 0
  for (let i = start; i < end; i++) {
    const value = values[i] as number
    if (value > most) most = value
    else if (value < least) least = value
  }
  return most > -least ? most : least
}

/**
 * GGUF's Q4_0 blocks (half-precision scale, then 16 bytes: elements 0 to 15 in the low halves, 16 to 31 in the high ones)
 * as they are, in this layout with groups of 32: no number changes. `halves`: all halves' values, by their bits.
 */
export function relayQ40(bytes: Uint8Array, halves: Float32Array): QuantisedMatrix {
  const groups = bytes.byteLength / 18
  const codes = new Uint8Array(groups * 16)
  const scales = new Float32Array(groups)
  for (let g = 0; g < groups; g++) {
    const from = g * 18
    scales[g] = halves[(bytes[from] as number) | ((bytes[from + 1] as number) << 8)] as number
    for (let i = 0; i < 16; i += 2) {
      const even = bytes[from + 2 + i] as number
      const odd = bytes[from + 3 + i] as number
      codes[g * 16 + (i >> 1)] = (even & 15) | ((odd & 15) << 4)
      codes[g * 16 + 8 + (i >> 1)] = (even >> 4) | (odd & 0xf0)
    }
  }
  return { codes, scales }
}
