import fc from 'fast-check'
import { expect, test } from 'vitest'
import { attention } from '#core/numerics/attention.ts'
import { rmsNorm } from '#core/numerics/rms-norm.ts'
import { applyRope, rotaryFrequencies } from '#core/numerics/rope.ts'
import { silu } from '#core/numerics/swiglu.ts'
import { pagePartBytes, pageSlots } from '#engines/kernels/kernels.ts'
import { createMemory, normals, relativeError } from './memory.ts'

const seed = fc.integer({ min: 1, max: 2 ** 31 })
const size = fc.integer({ min: 1, max: 130 })
const rows = fc.integer({ min: 1, max: 5 })

test('rows are normed as the reference norms them, in place or not', () => {
  const { kernels, place, read } = createMemory()
  fc.assert(
    fc.property(rows, size, seed, fc.boolean(), (rows, size, seed, inPlace) => {
      const x = normals(rows * size, seed)
      const gain = normals(size, seed + 1)
      const source = place(x)
      const target = inPlace ? source : place(x)
      kernels.rmsNorm(source, place(gain), target, rows, size, 1e-5)
      expect(relativeError(read(target, x.length), rmsNorm(x, gain, 1e-5))).toBeLessThan(1e-6)
    }),
  )
})

test('every head is normed by itself, and nothing beside the heads is touched', () => {
  const { kernels, place, read } = createMemory()
  fc.assert(
    fc.property(rows, fc.integer({ min: 1, max: 4 }), size, fc.nat(9), seed, (rows, heads, headSize, more, seed) => {
      const rowStride = heads * headSize + more
      const x = normals(rows * rowStride, seed)
      const gain = normals(headSize, seed + 1)
      const pointer = place(x)
      kernels.headNorm({ x: pointer, rowStride, rows, heads, headSize }, place(gain), 1e-6)
      const expected = x.slice()
      for (let row = 0; row < rows; row++) {
        const start = row * rowStride
        expected.set(rmsNorm(x.subarray(start, start + heads * headSize), gain, 1e-6), start)
      }
      expect(relativeError(read(pointer, x.length), expected)).toBeLessThan(1e-6)
    }),
  )
})

test('rows are added, shifted and scaled exactly as float32 does it', () => {
  const { kernels, place, read } = createMemory()
  fc.assert(
    fc.property(rows, size, fc.nat(9), seed, (rows, size, more, seed) => {
      const stride = size + more
      const y = normals(rows * stride, seed)
      const vector = normals(size, seed + 1)
      const byRow = (combine: (a: number, b: number) => number) =>
        y.map((value, i) => (i % stride < size ? combine(value, vector[i % stride] as number) : value))
      const [added, shifted, scaled] = [place(y), place(y), place(y)]
      kernels.addInPlace(added, place(y), y.length)
      kernels.addRowVector(shifted, stride, place(vector), rows, size)
      kernels.multiplyRowVector(scaled, stride, place(vector), rows, size)
      expect(read(added, y.length)).toEqual(y.map((value) => 2 * value))
      expect(read(shifted, y.length)).toEqual(byRow((a, b) => a + b))
      expect(read(scaled, y.length)).toEqual(byRow((a, b) => a * b))
    }),
  )
})

test('heads are turned by their rows’ positions, in both styles', () => {
  const { kernels, place, placeIntegers, read } = createMemory()
  fc.assert(
    fc.property(
      fc.constantFrom('half', 'interleaved'),
      fc.array(fc.nat(40), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 40 }),
      fc.nat(9),
      seed,
      (ropeStyle, positions, heads, half, more, seed) => {
        const headSize = 2 * half
        const rowStride = heads * headSize + more
        const x = normals(positions.length * rowStride, seed)
        const frequencies = rotaryFrequencies({ headSize, ropeTheta: 10000 })
        const angles = Array.from({ length: 41 }, (_, p) => Array.from(frequencies, (f) => p * f)).flat()
        const tables = { cosines: place(angles.map(Math.cos)), sines: place(angles.map(Math.sin)) }
        const pointer = place(x)
        const turned = { x: pointer, rowStride, rows: positions.length, heads, headSize }
        kernels.rope(ropeStyle, turned, tables, placeIntegers(positions))
        const expected = x.slice()
        for (const [row, position] of positions.entries()) {
          const part = Float64Array.from(x.subarray(row * rowStride, row * rowStride + heads * headSize))
          applyRope(part, position, { headSize, ropeStyle, ropeTheta: 10000 }, heads)
          expected.set(part, row * rowStride)
        }
        expect(relativeError(read(pointer, x.length), expected)).toBeLessThan(1e-6)
      },
    ),
  )
})

test('the gate is silu of one half times the other', () => {
  const { kernels, place, read } = createMemory()
  fc.assert(
    fc.property(rows, size, fc.constantFrom(1, 30, 1000), seed, (rows, size, magnitude, seed) => {
      const gateUp = normals(rows * 2 * size, seed).map((value) => value * magnitude)
      const out = place(new Float32Array(rows * size))
      kernels.siluMultiply(place(gateUp), out, rows, size)
      const expected = Float64Array.from({ length: rows * size }, (_, i) => {
        const start = Math.floor(i / size) * 2 * size + (i % size)
        return silu(gateUp[start] as number) * (gateUp[start + size] as number)
      })
      // A gate's exponential has as many wrong digits as the gate is large, and far below zero none that float32 holds.
      for (const [i, actual] of read(out, expected.length).entries()) {
        const gate = gateUp[Math.floor(i / size) * 2 * size + (i % size)] as number
        const value = expected[i] as number
        expect(Math.abs(actual - value)).toBeLessThan(1e-7 * (10 + Math.abs(gate)) * Math.abs(value) + 1e-30)
      }
    }),
  )
})

test('silu is right to a millionth of its value over the whole range of float32', () => {
  const { kernels, place, read } = createMemory()
  const gates = Float32Array.from({ length: 4000 }, (_, i) => (i - 2000) / 25)
  const interleaved = Float32Array.from([...gates, ...new Float32Array(gates.length).fill(1)])
  const out = place(gates)
  kernels.siluMultiply(place(interleaved), out, 1, gates.length)
  const worst = read(out, gates.length).reduce((most, value, i) => {
    const expected = silu(gates[i] as number)
    return Math.max(most, Math.abs(value - expected) / Math.max(Math.abs(expected), 1e-30))
  }, 0)
  expect(worst).toBeLessThan(1e-6)
})

/** A sequence's keys and values in pages, as an engine keeps them; slots never written hold NaN. */
function cacheOf(memory: ReturnType<typeof createMemory>, length: number, kvHeads: number, headSize: number) {
  const { workspace, placeIntegers } = memory
  const partBytes = pagePartBytes(kvHeads, headSize)
  const pages = Array.from({ length: Math.ceil(length / pageSlots) }, () => workspace.allocate(partBytes))
  for (const page of pages) workspace.floats(page, partBytes / 4).fill(Number.NaN)
  return placeIntegers(pages)
}

test('attention over pages is the reference’s, for any number of rows, heads and positions', () => {
  const shape = fc.record({
    kvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.integer({ min: 1, max: 9 }),
    headSize: fc.oneof(fc.constantFrom(4, 8, 16, 32, 64), fc.integer({ min: 1, max: 70 })),
    position: fc.oneof(fc.constant(0), fc.nat(100)),
    rows: fc.integer({ min: 1, max: 40 }),
    more: fc.nat(3),
    magnitude: fc.constantFrom(1, 20),
  })
  fc.assert(
    fc.property(shape, seed, ({ kvHeads, group, headSize, position, rows, more, magnitude }, seed) => {
      const memory = createMemory()
      const { kernels, place, read } = memory
      const length = position + rows
      const [width, kvWidth] = [kvHeads * group * headSize, kvHeads * headSize]
      const keys = normals(length * kvWidth, seed)
      const values = normals(length * kvWidth, seed + 1)
      const queries = normals(rows * (width + more), seed + 2).map((value) => value * magnitude)
      const pageTable = cacheOf(memory, length, kvHeads, headSize)
      kernels.storeKeyValues(place(keys), place(values), kvWidth, {
        ...{ pageTable, kvHeads, headSize, position: 0, rows: length },
      })
      const output = place(new Float32Array(rows * width))
      kernels.attention({
        ...{ queries: place(queries), queryStride: width + more, output, outputStride: width },
        ...{ pageTable, position, rows, kvHeads, headSize, headCount: kvHeads * group },
      })
      const dense = Float64Array.from({ length: rows * width }, (_, i) => {
        return queries[Math.floor(i / width) * (width + more) + (i % width)] as number
      })
      const cache = { length, keys: Float64Array.from(keys), values: Float64Array.from(values) }
      const expected = attention(dense, cache, { headCount: kvHeads * group, kvHeadCount: kvHeads, headSize })
      expect(relativeError(read(output, expected.length), expected)).toBeLessThan(2e-6 * magnitude)
    }),
  )
})

test('with a window, positions before it are not seen, and their pages not even read', () => {
  const shape = fc.record({
    group: fc.constantFrom(1, 2, 3, 8),
    window: fc.integer({ min: 1, max: 70 }),
    position: fc.nat(120),
    rows: fc.integer({ min: 1, max: 20 }),
  })
  fc.assert(
    fc.property(shape, seed, ({ group, window, position, rows }, seed) => {
      const memory = createMemory()
      const { kernels, place, read, workspace } = memory
      const headSize = 12
      const length = position + rows
      const keys = normals(length * headSize, seed)
      const values = normals(length * headSize, seed + 1)
      const queries = normals(rows * group * headSize, seed + 2)
      const cached = { pageTable: cacheOf(memory, length, 1, headSize), kvHeads: 1, headSize }
      kernels.storeKeyValues(place(keys), place(values), headSize, { ...cached, position: 0, rows: length })
      const pagesBefore = Math.floor(Math.max(0, position - window + 1) / pageSlots)
      workspace.integers(cached.pageTable, pagesBefore).fill(0x7fff0000)
      const output = place(new Float32Array(queries.length))
      const strides = { queryStride: group * headSize, outputStride: group * headSize }
      kernels.attention({
        ...{ ...cached, ...strides, queries: place(queries), output, position, rows, headCount: group, window },
      })
      const expected = Array.from({ length: rows }, (_, row) => {
        const end = position + row + 1
        const [from, to] = [Math.max(0, end - window) * headSize, end * headSize]
        const seen = { length: Math.min(window, end) }
        const part = (all: Float32Array) => Float64Array.from(all.subarray(from, to))
        const query = Float64Array.from(queries.subarray(row * group * headSize, (row + 1) * group * headSize))
        const cache = { ...seen, keys: part(keys), values: part(values) }
        return [...attention(query, cache, { headCount: group, kvHeadCount: 1, headSize })]
      }).flat()
      expect(relativeError(read(output, expected.length), expected)).toBeLessThan(2e-6)
    }),
  )
})
