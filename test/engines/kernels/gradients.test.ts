import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createGradientKernels, packMask } from '#engines/kernels/gradient-kernels.ts'
import { dequantise, quantise } from '#engines/shared/quantise.ts'
import { createMemory, normals, relativeError } from './memory.ts'

const seed = fc.nat(1e9)

function prepare() {
  const memory = createMemory()
  return { ...memory, gradients: createGradientKernels(memory.workspace) }
}

test('the gradient of chosen entries is those entries of the whole gradient, added to what was there', () => {
  const shape = fc.record({
    rows: fc.integer({ min: 1, max: 20 }),
    columns: fc.integer({ min: 1, max: 40 }),
    tokens: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 125, max: 300 })),
    share: fc.constantFrom(0.05, 0.5, 10),
    more: fc.nat(2),
  })
  fc.assert(
    fc.property(shape, seed, ({ rows, columns, tokens, share, more }, seed) => {
      const { gradients, workspace, place, read } = prepare()
      const [xStride, dyStride] = [columns + more, rows + 2 * more]
      const x = normals(tokens * xStride, seed)
      const dy = normals(tokens * dyStride, seed + 1)
      const draws = normals(rows * columns, seed + 2)
      const indices = Uint32Array.from(draws.keys()).filter((i) => Math.abs(draws[i] as number) < share)
      const gradient = place(normals(indices.length, seed + 3))
      const expected = [...read(gradient, indices.length)].map((before, entry) => {
        const [row, column] = [Math.floor((indices[entry] as number) / columns), (indices[entry] as number) % columns]
        let [sum, magnitude] = [before, Math.abs(before)]
        for (let t = 0; t < tokens; t++) {
          const term = (dy[t * dyStride + row] as number) * (x[t * xStride + column] as number)
          sum += term
          magnitude += Math.abs(term)
        }
        return { sum, magnitude }
      })
      const mask = packMask(workspace, indices, rows, columns)
      gradients.sparseGradient(mask, { x: place(x), xStride, dy: place(dy), dyStride, tokens }, gradient)
      // Terms may cancel: what rounding costs is a share of their sizes, not of their sum.
      for (const [entry, { sum, magnitude }] of expected.entries()) {
        expect(Math.abs((read(gradient, indices.length)[entry] as number) - sum)).toBeLessThan(2e-6 * magnitude + 1e-30)
      }
    }),
  )
})

test('a mask that is not ascending or leaves the matrix is refused before memory is taken', () => {
  const { workspace } = prepare()
  for (const indices of [[3, 3], [4, 2], [6]]) {
    expect(() => packMask(workspace, Uint32Array.from(indices), 2, 3)).toThrow(RangeError)
  }
  expect(workspace.bytesInUse).toBe(0)
})

test('a gradient goes back through quantised weights as through the numbers they stand for', () => {
  const shape = fc.record({
    bits: fc.constantFrom(4 as const, 8 as const),
    group: fc.constantFrom(16, 32, 64, 128),
    rows: fc.integer({ min: 1, max: 11 }),
    columns: fc.integer({ min: 1, max: 300 }),
  })
  fc.assert(
    fc.property(shape, seed, ({ bits, group, rows, columns }, seed) => {
      const { gradients, workspace, place, read } = prepare()
      const stored = quantise(normals(rows * columns, seed), rows, columns, { bits, group })
      const weights = dequantise(stored, rows, columns, { bits, group })
      const dy = normals(rows, seed + 1)
      const before = normals(columns, seed + 2)
      const expected = Float64Array.from(before)
      for (let i = 0; i < rows * columns; i++) {
        expected[i % columns] =
          (expected[i % columns] as number) + (weights[i] as number) * (dy[Math.floor(i / columns)] as number)
      }
      const codes = workspace.allocate(stored.codes.length)
      workspace.bytes(codes, stored.codes.length).set(stored.codes)
      const dx = place(before)
      const scales = place(stored.scales)
      gradients.transposedProduct({ bits, group, rows, columns, codes, scales }, place(dy), dx)
      expect(relativeError(read(dx, columns), expected)).toBeLessThan(5e-6)
    }),
  )
})

test('AdamW moves numbers and moments as its algorithm says, and nothing behind them', () => {
  const step = { learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, gradientScale: 0.25 }
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 5 }), seed, (count, steps, seed) => {
      const { gradients, place, read } = prepare()
      const theta = place(normals(count + 1, seed))
      const moments = { first: place(new Float32Array(count)), second: place(new Float32Array(count)) }
      const expected = Float64Array.from(read(theta, count + 1))
      const m = new Float64Array(count)
      const v = new Float64Array(count)
      for (let t = 1; t <= steps; t++) {
        const g = normals(count, seed + t)
        gradients.adapt(theta, place(g), moments, count, { ...step, steps: t })
        for (let i = 0; i < count; i++) {
          const scaled = 0.25 * (g[i] as number)
          m[i] = 0.9 * (m[i] as number) + 0.1 * scaled
          v[i] = 0.999 * (v[i] as number) + 0.001 * scaled ** 2
          const root = Math.sqrt((v[i] as number) / (1 - 0.999 ** t)) + 1e-8
          const change = (m[i] as number) / (1 - 0.9 ** t) / root + 0.1 * (expected[i] as number)
          expected[i] = (expected[i] as number) - 0.01 * change
        }
      }
      expect(relativeError(read(theta, count + 1), expected)).toBeLessThan(1e-6)
      // The first moment is a sum of gradients that may cancel: its error is theirs, about a quarter each.
      expect(relativeError([...read(moments.first, count), 0.25], [...m, 0.25])).toBeLessThan(1e-6)
      expect(relativeError(read(moments.second, count), v)).toBeLessThan(1e-6)
    }),
  )
})

test('descent takes a rate’s share of each gradient', () => {
  const { gradients, place, read } = prepare()
  const theta = place([1, 2, 3, 4, 5, 6])
  gradients.descend(theta, place([1, 1, 1, 1, 2]), 5, 0.5)
  expect([...read(theta, 6)]).toEqual([0.5, 1.5, 2.5, 3.5, 4, 6])
})
