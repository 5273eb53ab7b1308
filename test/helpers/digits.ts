/**
 * Handwritten digits without a download: the strokes of each digit, bent by a seed (moved, turned, slanted, stretched,
 * thick or thin, every point shaken) and drawn on 14 x 14 pixels. The same seed draws the same.
 */
import { createRandom } from '#core/numerics/random.ts'

export const digitSide = 14
export const digitPixels = digitSide * digitSide

export interface Digits {
  /** (count, 196), 0 is paper, 1 is ink. */
  readonly pixels: Float32Array
  readonly labels: Uint8Array
}

type Point = readonly [x: number, y: number]

/** Lines from point to point in the unit square, y downwards. */
const strokes: readonly (readonly (readonly Point[])[])[] = [
  [arc(0.5, 0.5, 0.28, 0.4, 0, 2)],
  [
    [
      [0.36, 0.26],
      [0.54, 0.1],
      [0.54, 0.9],
    ],
  ],
  [[...arc(0.5, 0.32, 0.26, 0.22, 1, 2.2), [0.24, 0.88], [0.78, 0.88]]],
  [[...arc(0.47, 0.3, 0.25, 0.2, 1.1, 2.45)], [...arc(0.47, 0.69, 0.28, 0.21, 1.55, 2.95)]],
  [
    [
      [0.62, 0.9],
      [0.62, 0.1],
      [0.2, 0.64],
      [0.82, 0.64],
    ],
  ],
  [[[0.75, 0.12], [0.33, 0.12], [0.3, 0.46], ...arc(0.48, 0.65, 0.27, 0.23, 1.35, 2.85)]],
  [[[0.66, 0.1], [0.36, 0.42], ...arc(0.5, 0.67, 0.24, 0.22, 1, 3)]],
  [
    [
      [0.22, 0.12],
      [0.78, 0.12],
      [0.42, 0.9],
    ],
  ],
  [arc(0.5, 0.3, 0.21, 0.19, 0, 2), arc(0.5, 0.7, 0.25, 0.21, 0, 2)],
  [[...arc(0.5, 0.33, 0.24, 0.22, 0, 2), [0.72, 0.5], [0.62, 0.9]]],
]

/** `count` digits, each class as often as any other. */
export function drawDigits(count: number, seed: number): Digits {
  const random = createRandom(seed)
  const pixels = new Float32Array(count * digitPixels)
  const labels = Uint8Array.from({ length: count }, (_, index) => index % 10)
  for (const [index, label] of labels.entries()) {
    drawDigit(pixels.subarray(index * digitPixels, (index + 1) * digitPixels), label, random)
  }
  return { pixels, labels }
}

/** Every picture turned by a quarter. */
export function turnedDigits({ pixels, labels }: Digits): Digits {
  const turned = pixels.map((_, place) => {
    const [row, column] = [Math.floor((place % digitPixels) / digitSide), place % digitSide]
    return pixels[place - (place % digitPixels) + column * digitSide + (digitSide - 1 - row)] ?? 0
  })
  return { pixels: turned, labels }
}

/** Every digit called another one: d becomes 7d + 3 modulo 10. */
export function renamedDigits({ pixels, labels }: Digits): Digits {
  return { pixels, labels: labels.map((label) => (label * 7 + 3) % 10) }
}

/** Digits [begin, end). */
export function someDigits({ pixels, labels }: Digits, begin: number, end: number): Digits {
  return { pixels: pixels.subarray(begin * digitPixels, end * digitPixels), labels: labels.subarray(begin, end) }
}

function drawDigit(into: Float32Array, label: number, random: () => number): void {
  const within = (bound: number) => (random() * 2 - 1) * bound
  const [turn, slant, moveX, moveY] = [within(0.22), within(0.25), within(0.11), within(0.11)]
  const [width, height] = [0.82 + within(0.2), 0.82 + within(0.16)]
  const radius = 0.055 + random() * 0.035
  const bend = ([x, y]: Point): Point => {
    const [dx, dy] = [(x - 0.5 + within(0.03)) * width, (y - 0.5 + within(0.03)) * height]
    const slanted = dx - slant * dy
    const [cosine, sine] = [Math.cos(turn), Math.sin(turn)]
    return [0.5 + moveX + slanted * cosine - dy * sine, 0.5 + moveY + slanted * sine + dy * cosine]
  }
  for (const stroke of strokes[label] ?? []) {
    const points = stroke.map(bend)
    for (const [index, end] of points.entries()) {
      const begin = points[index - 1]
      if (begin !== undefined) drawLine(into, begin, end, radius)
    }
  }
}

/** Ink falls off within half a pixel around the line's edge. */
function drawLine(into: Float32Array, [x1, y1]: Point, [x2, y2]: Point, radius: number): void {
  const length = (x2 - x1) ** 2 + (y2 - y1) ** 2
  for (let place = 0; place < digitPixels; place++) {
    const [x, y] = [((place % digitSide) + 0.5) / digitSide, (Math.floor(place / digitSide) + 0.5) / digitSide]
    const along = Math.min(1, Math.max(0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / (length + 1e-9)))
    const distance = Math.sqrt((x - x1 - along * (x2 - x1)) ** 2 + (y - y1 - along * (y2 - y1)) ** 2)
    const ink = Math.min(1, Math.max(0, 0.5 + (radius - distance) * digitSide))
    into[place] = Math.max(into[place] ?? 0, ink)
  }
}

/** Part of an ellipse, in half turns from the right, by way of the bottom. */
function arc(x: number, y: number, width: number, height: number, begin: number, end: number): Point[] {
  return Array.from({ length: 13 }, (_, step) => {
    const angle = Math.PI * (begin + ((end - begin) * step) / 12)
    return [x + width * Math.cos(angle), y + height * Math.sin(angle)]
  })
}
