import fc from 'fast-check'
import { expect, test } from 'vitest'
import { freePackedDelta, maximumColumns, packDelta, sparseProduct } from '#engines/kernels/sparse-delta.ts'
import { createMemory, normals, relativeError } from './memory.ts'

/** Entries of a random mask, row-major, with a value each. */
function entriesOf(rows: number, columns: number, density: number, seed: number) {
  const draws = normals(rows * columns, seed)
  const indices = Uint32Array.from(draws.keys()).filter((i) => Math.abs(draws[i] as number) < density)
  return { indices, values: normals(indices.length, seed + 1) }
}

test('a packed delta adds what the dense one would, for any mask and number of rows', () => {
  const shape = fc.record({
    rows: fc.integer({ min: 1, max: 40 }),
    columns: fc.integer({ min: 1, max: 70 }),
    density: fc.constantFrom(0, 0.02, 0.3, 10),
    tokens: fc.integer({ min: 1, max: 19 }),
    more: fc.nat(3),
  })
  fc.assert(
    fc.property(shape, fc.nat(1e9), ({ rows, columns, density, tokens, more }, seed) => {
      const { kernels, workspace, place, read } = createMemory()
      const { indices, values } = entriesOf(rows, columns, density, seed)
      const [xStride, yStride] = [columns + more, rows + 2 * more]
      const x = normals(tokens * xStride, seed + 2)
      const y = normals(tokens * yStride, seed + 3)
      const delta = packDelta(workspace, indices, values, rows, columns)
      const target = place(y)
      sparseProduct(kernels, workspace, delta, { x: place(x), xStride, y: target, yStride, rows: tokens })
      const expected = Float64Array.from(y)
      for (let t = 0; t < tokens; t++) {
        for (const [i, index] of indices.entries()) {
          const at = t * yStride + Math.floor(index / columns)
          const product = (values[i] as number) * (x[t * xStride + (index % columns)] as number)
          expected[at] = (expected[at] as number) + product
        }
      }
      expect(relativeError(read(target, y.length), expected)).toBeLessThan(1e-6)
    }),
  )
})

test('entries may come in any order', () => {
  const { kernels, workspace, place, read } = createMemory()
  const x = place([1, 10, 100])
  const y = place([0, 0])
  const delta = packDelta(workspace, Uint32Array.of(5, 0, 4), Float32Array.of(3, 1, 2), 2, 3)
  sparseProduct(kernels, workspace, delta, { x, xStride: 3, y, yStride: 2, rows: 1 })
  expect([...read(y, 2)]).toEqual([1, 320])
})

test('an entry outside the matrix and a matrix too wide are refused before memory is taken', () => {
  const { workspace } = createMemory()
  const pack = (index: number, columns: number) => () =>
    packDelta(workspace, Uint32Array.of(index), Float32Array.of(1), 2, columns)
  expect(pack(6, 3)).toThrow(RangeError)
  expect(pack(0, maximumColumns + 1)).toThrow(RangeError)
  expect(workspace.bytesInUse).toBe(0)
})

test('a delta is as large as it says, about six bytes an entry, and gives all of it back', () => {
  const { workspace } = createMemory()
  const { indices, values } = entriesOf(512, 2000, 0.00627, 7)
  const delta = packDelta(workspace, indices, values, 512, 2000)
  expect(delta.byteLength / indices.length).toBeLessThan(6.7)
  expect(workspace.bytesInUse).toBe(Math.ceil(delta.byteLength / 64) * 64)
  freePackedDelta(workspace, delta)
  expect(workspace.bytesInUse).toBe(0)
})
