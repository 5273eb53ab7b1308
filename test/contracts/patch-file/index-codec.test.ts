import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import { decodeIndices, encodeIndices, indexCodecs } from '#contracts/patch-file/index-codec.ts'
import { createRandom } from '#test/fakes/model-handle.ts'
import {
  clusteredPlaces,
  deflatedBitmapBytes,
  fromGaps,
  placesOf,
  randomPlaces,
  readFishMasks,
  setBits,
} from './masks.ts'

const seeded = (seed: number) => {
  const random = createRandom(seed)
  return () => (random() + 1) / 2
}
const all = (length: number) => Uint32Array.from({ length }, (_, i) => i)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** Masks for which each codec is chosen. */
const examples = {
  full: { shape: [3, 5], indices: all(15) },
  rice: { shape: [100, 50], indices: randomPlaces(5000, 0.02, seeded(1)) },
  rowMajor: { shape: [100, 100], indices: randomPlaces(10_000, 0.62, seeded(2)) },
  cells: { shape: [64, 48], indices: clusteredPlaces([64, 48], { density: 0.05, deviation: 2, uniform: seeded(3) }) },
  sortedColumns: {
    shape: [1200, 1200],
    indices: clusteredPlaces([1200, 1200], { density: 0.001, deviation: 1.5, uniform: seeded(4) }),
  },
}

/** Sets in shapes of one to four axes: few or many places, evenly or in runs. */
const masks = fc
  .array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 })
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      chosen: fc.uniqueArray(fc.integer({ min: 0, max: placesOf(shape) - 1 }), { minLength: 1, maxLength: 400 }),
      run: fc.integer({ min: 0, max: placesOf(shape) }),
    }),
  )
  .map(({ shape, chosen, run }) => {
    const places = new Set([...chosen, ...all(Math.min(run, placesOf(shape)))])
    return { shape, indices: Uint32Array.from(places).sort() }
  })

/** A few places among up to 2^32. */
const wideMasks = fc
  .record({
    shape: fc.constantFrom([2 ** 32], [2 ** 16, 2 ** 16], [2 ** 31, 2], [2, 2 ** 31], [65_521, 3, 7001]),
    share: fc.uniqueArray(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), {
      minLength: 1,
      maxLength: 40,
    }),
  })
  .map(({ shape, share }) => ({
    shape,
    indices: Uint32Array.from(new Set(share.map((part) => Math.floor(part * placesOf(shape))))).sort(),
  }))

describe('indices', () => {
  it('come back as they were, whatever the set and the shape', () => {
    fc.assert(fc.property(masks, comesBack), { numRuns: 400 })
    fc.assert(fc.property(wideMasks, comesBack), { numRuns: 200 })
  })

  it('come back at the edges: one place, the last of 2^32, all places', () => {
    for (const shape of [[1], [2 ** 32], [2 ** 16, 2 ** 16], [1, 1, 1, 7]]) {
      comesBack({ shape, indices: Uint32Array.of(placesOf(shape) - 1) })
      comesBack({ shape, indices: Uint32Array.of(0) })
    }
    comesBack({ shape: [7, 11], indices: all(77) })
    comesBack({ shape: [2 ** 32], indices: Uint32Array.of(0, 2 ** 32 - 1) })
  })

  it.each(Object.entries(examples))('are written by codec %s where it is the best', (codec, mask) => {
    expect(encodeIndices(mask.indices, mask.shape)[0]).toBe(indexCodecs[codec as keyof typeof examples])
    comesBack(mask)
  })

  it('have the known bytes', () => {
    expect(hex(encodeIndices(fromGaps([3, 0, 17, 200]), [512]))).toMatchInlineSnapshot(`"01058e0c40a0"`)
    expect(
      Object.values(examples).map(({ shape, indices }) => digest(encodeIndices(indices, shape))),
    ).toMatchInlineSnapshot(`
      [
        "6e340b9cffb37a98",
        "c87c0a643f174ce6",
        "c9ec6f95f6637dd0",
        "0f6cef4d895f1010",
        "e0c11f1811133c93",
      ]
    `)
    const files = readFishMasks().map(({ shape, indices }) => encodeIndices(indices, shape))
    expect(digest(Buffer.concat(files))).toMatchInlineSnapshot(`"f6d5a968c0e46e6b"`)
  })

  it('leave the array that is encoded as it was', () => {
    for (const { shape, indices } of Object.values(examples)) {
      const before = indices.slice()
      encodeIndices(indices, shape)
      expect(indices).toEqual(before)
    }
  })
})

describe('the size of indices', () => {
  it.each([0.0002, 0.001, 0.005, 0.02, 0.1, 0.2, 0.38, 0.5, 0.7, 0.9, 0.99, 0.999])(
    'is near the least possible for random places with density %d',
    (density) => {
      for (const shape of [[100, 1000], [100_000], [10, 7], [200, 60, 25]]) {
        const indices = randomPlaces(placesOf(shape), density, seeded(shape.length))
        if (indices.length === 0) continue
        const bound = setBits(placesOf(shape), indices.length)
        expect(8 * encodeIndices(indices, shape).length).toBeLessThanOrEqual(1.03 * bound + 8 * 16)
      }
    },
  )

  it('is below the bound and the deflated bitmap for every tensor of real masks', () => {
    for (const mask of readFishMasks()) {
      const { length } = encodeIndices(mask.indices, mask.shape)
      expect(length).toBeLessThanOrEqual(deflatedBitmapBytes(mask))
      expect(length).toBeLessThanOrEqual(1.03 * (setBits(placesOf(mask.shape), mask.indices.length) / 8) + 16)
    }
  })

  it('is less than half of the bound for a real mask', () => {
    const masks = readFishMasks().filter(({ keepRatio }) => keepRatio === 0.005)
    const bits = masks.reduce((sum, { indices, shape }) => sum + 8 * encodeIndices(indices, shape).length, 0)
    const bound = masks.reduce((sum, { indices, shape }) => sum + setBits(placesOf(shape), indices.length), 0)
    expect(bits / bound).toBeLessThan(0.4)
  })
})

describe('bytes that are no indices', () => {
  it.each([
    ['full', examples.full],
    ['rice', examples.rice],
  ])('of codec %s are refused when cut short or followed by more', (_, { shape, indices }) => {
    const bytes = encodeIndices(indices, shape)
    const context = { shape, entries: indices.length }
    for (const length of cuts(bytes.length)) {
      expect(() => decodeIndices(bytes.subarray(0, length), context)).toThrow(PatchFormatError)
    }
    for (const more of [0, 1, 255]) {
      expect(() => decodeIndices(Uint8Array.of(...bytes, more), context)).toThrow(PatchFormatError)
    }
  })

  it.each(Object.entries(examples))('of codec %s are another set or refused when cut or longer', (_, mask) => {
    const bytes = encodeIndices(mask.indices, mask.shape)
    const context = { shape: mask.shape, entries: mask.indices.length }
    const others = [
      ...cuts(bytes.length).map((length) => bytes.subarray(0, length)),
      ...[0, 1, 7, 64, 128, 200, 255].map((more) => Uint8Array.of(...bytes, more)),
    ]
    for (const other of others) expect(setOrRefusal(other, context)).not.toEqual(mask.indices)
  })

  it.each(Object.entries(examples))('of codec %s are another set or refused with any bit flipped', (_, mask) => {
    const bytes = encodeIndices(mask.indices, mask.shape)
    const context = { shape: mask.shape, entries: mask.indices.length }
    for (const bit of flips(8 * bytes.length)) {
      const flipped = bytes.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const other = setOrRefusal(flipped, context)
      if (bit >= 8) expect(other).not.toEqual(mask.indices)
    }
  })

  it('can be read in one way only: what is read is written as it was', () => {
    for (const { shape, indices } of Object.values(examples)) {
      const bytes = encodeIndices(indices, shape)
      expect(encodeIndices(decodeIndices(bytes, { shape, entries: indices.length }), shape)).toEqual(bytes)
    }
  })

  it('are a set or refused, whatever they are', () => {
    const shapes = fc.constantFrom([1], [4, 4], [128, 64], [2 ** 32], [2 ** 16, 2 ** 16], [1000, 1000])
    const bytes = fc.tuple(fc.integer({ min: 0, max: 5 }), fc.uint8Array({ maxLength: 60 }))
    fc.assert(
      fc.property(shapes, bytes, fc.integer({ min: 1, max: 3000 }), (shape, [codec, rest], entries) => {
        setOrRefusal(Uint8Array.of(codec, ...rest), { shape, entries: Math.min(entries, placesOf(shape)) })
      }),
      { numRuns: 2000 },
    )
  })

  it('are refused when they are of another number of entries, or of another shape', () => {
    const { shape, indices } = examples.rice
    const bytes = encodeIndices(indices, shape)
    for (const entries of [0, -1, 1.5, Number.NaN, indices.length - 1, indices.length + 1, 5001]) {
      expect(() => decodeIndices(bytes, { shape, entries })).toThrow(PatchFormatError)
    }
    for (const other of [[], [0], [2.5], [100, 49], [2 ** 32, 2], [Number.NaN]]) {
      expect(() => decodeIndices(bytes, { shape: other, entries: indices.length })).toThrow(PatchFormatError)
    }
  })

  it('cost no memory for claims that bytes cannot hold', () => {
    const shape = [2 ** 32]
    const claim = (codec: number) => () => decodeIndices(Uint8Array.of(codec, 0, 0, 0), { shape, entries: 2 ** 31 })
    expect(claim(indexCodecs.full)).toThrow(PatchFormatError)
    expect(claim(indexCodecs.rice)).toThrow(PatchFormatError)
  })
})

describe('a mask that is none', () => {
  it.each([
    ['no places', [], [4]],
    ['a place twice', [1, 1], [4]],
    ['places that descend', [2, 1], [4]],
    ['a place outside', [1, 4], [4]],
    ['a shape of no axes', [0], []],
  ])('is refused: %s', (_, indices, shape) => {
    expect(() => encodeIndices(Uint32Array.from(indices), shape)).toThrow(PatchFormatError)
  })
})

function comesBack({ shape, indices }: { readonly shape: readonly number[]; readonly indices: Uint32Array }): void {
  const decoded = decodeIndices(encodeIndices(indices, shape), { shape, entries: indices.length })
  expect(decoded).toEqual(indices)
}

/** Throws what is neither. */
function setOrRefusal(
  bytes: Uint8Array,
  context: { readonly shape: readonly number[]; readonly entries: number },
): Uint32Array | null {
  try {
    const indices = decodeIndices(bytes, context)
    expect(indices).toHaveLength(context.entries)
    expect(indices.every((index, i) => i === 0 || index > (indices[i - 1] ?? 0))).toBe(true)
    expect(indices.at(-1)).toBeLessThan(placesOf(context.shape))
    return indices
  } catch (error) {
    if (error instanceof PatchFormatError) return null
    throw error
  }
}

function cuts(length: number): readonly number[] {
  return length <= 200 ? [...all(length)] : [0, 1, 2, 5, length >> 1, length - 5, length - 3, length - 2, length - 1]
}

function flips(bits: number): readonly number[] {
  const step = Math.max(1, Math.floor(bits / 150))
  return [...all(Math.ceil(bits / step))].map((i) => i * step)
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16)
}
