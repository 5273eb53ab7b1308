/** Logarithms that are the same on every machine; `Math.log2` need not be. */

/** eighths[i] = floor(2^(16 + i / 8)) */
const eighths = [65_536, 71_467, 77_935, 84_989, 92_681, 101_070, 110_217, 120_193]

/** About floor(8 log2 value), by comparisons of an integer's 17 highest bits; value from 1 to 2^32 - 1. */
export function logarithm(value: number): number {
  const octave = 31 - Math.clz32(value)
  const fraction = octave > 16 ? value >>> (octave - 16) : value << (16 - octave)
  let step = fraction >= 92_681 ? 4 : 0
  while (step < 7 && fraction >= (eighths[step + 1] as number)) step++
  return 8 * octave + step
}

/** log2 of an integer from 1 to 2^53 to about ten digits, by sums and products alone: atanh's series about the octave's middle. */
export function binaryLogarithm(value: number): number {
  const octave = value < 2 ** 32 ? 31 - Math.clz32(value) : 63 - Math.clz32(value / 2 ** 32)
  const fraction = value / 2 ** octave
  const ratio = (fraction - Math.SQRT2) / (fraction + Math.SQRT2)
  const square = ratio * ratio
  let sum = 0
  for (let power = 13; power >= 1; power -= 2) sum = sum * square + 1 / power
  return octave + 0.5 + 2 * Math.LOG2E * ratio * sum
}
