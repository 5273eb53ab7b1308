/** Masks to encode, and what they may take: places at random, and real ones of the FISH method. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { deflateRawSync } from 'node:zlib'

export interface Mask {
  readonly tensor: string
  readonly shape: readonly number[]
  readonly indices: Uint32Array
}

/**
 * Of the seedling, by 192 sequences of 128 tokens of Moby Dick, the largest empirical Fisher of all tensors together: all tensors
 * of the 0.5 % mask, and the first block's densest of the 2 % one. Gaps between indices, one tensor a line.
 */
export function readFishMasks(): readonly (Mask & { readonly keepRatio: number })[] {
  const file = readFileSync(resolve(import.meta.dirname, '../../fixtures/patch-file/fish-masks.jsonl'), 'utf8')
  return file
    .trim()
    .split('\n')
    .map((line) => {
      const { keepRatio, tensor, shape, gaps } = JSON.parse(line) as Record<'tensor' | 'gaps', string> & {
        readonly keepRatio: number
        readonly shape: number[]
      }
      return { keepRatio, tensor, shape, indices: fromGaps(gaps.split(' ').map(Number)) }
    })
}

export function fromGaps(gaps: readonly number[]): Uint32Array<ArrayBuffer> {
  let from = 0
  return Uint32Array.from(gaps, (gap) => {
    from += gap + 1
    return from - 1
  })
}

/** Every place is chosen with the same probability. `uniform` gives numbers from 0 to 1. */
export function randomPlaces(places: number, density: number, uniform: () => number): Uint32Array<ArrayBuffer> {
  const chosen: number[] = []
  const scale = 1 / Math.log(1 - density)
  const gap = () => 1 + Math.floor(Math.log(1 - uniform()) * scale)
  for (let at = gap() - 1; at < places; at += gap()) chosen.push(at)
  return Uint32Array.from(chosen)
}

/** Rows and columns differ in size by a log-normal factor, as they do in large models: deviation in nats. */
export function clusteredPlaces(
  [rows, columns]: readonly [number, number],
  {
    density,
    deviation,
    uniform,
  }: { readonly density: number; readonly deviation: number; readonly uniform: () => number },
): Uint32Array<ArrayBuffer> {
  const sizes = (length: number) => {
    const raw = Float64Array.from({ length }, () => Math.exp(deviation * normal(uniform)))
    const mean = raw.reduce((sum, size) => sum + size) / length
    return raw.map((size) => size / mean)
  }
  const [ofRows, ofColumns] = [sizes(rows), sizes(columns)]
  const chosen: number[] = []
  for (const [row, size] of ofRows.entries()) {
    for (const [column, other] of ofColumns.entries()) {
      if (uniform() < density * size * other) chosen.push(row * columns + column)
    }
  }
  return Uint32Array.from(chosen)
}

function normal(uniform: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
}

/** log2 C(n, k): what k places of n, all sets as likely, take at least. */
export function setBits(n: number, k: number): number {
  return (logFactorial(n) - logFactorial(k) - logFactorial(n - k)) / Math.LN2
}

/** Stirling's series; exact enough from 20 on. */
function logFactorial(n: number): number {
  if (n < 20) return Array.from({ length: n }, (_, i) => Math.log(i + 1)).reduce((sum, term) => sum + term, 0)
  return (n + 0.5) * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI) + 1 / (12 * n) - 1 / (360 * n ** 3)
}

/** A bit for each place, deflated as small as zlib can. */
export function deflatedBitmapBytes({ indices, shape }: Omit<Mask, 'tensor'>): number {
  const bitmap = new Uint8Array(Math.ceil(placesOf(shape) / 8))
  for (const index of indices) bitmap[index >>> 3] = (bitmap[index >>> 3] ?? 0) | (1 << (index & 7))
  return deflateRawSync(bitmap, { level: 9 }).length
}

export function placesOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}
