import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import { createFormatKernels } from '#engines/kernels/format-kernels.ts'
import { dequantise, quantise, quantisedSizes } from '#engines/shared/quantise.ts'
import { createMemory, normals } from './memory.ts'

const shape = fc.record({
  bits: fc.constantFrom(4 as const, 8 as const),
  group: fc.constantFrom(16, 32, 64, 128),
  rows: fc.integer({ min: 1, max: 4 }),
  columns: fc.integer({ min: 1, max: 300 }),
})
const seed = fc.nat(1e9)

function prepare() {
  const memory = createMemory()
  const placeBytes = (values: Uint8Array) => {
    const pointer = memory.workspace.allocate(values.length)
    memory.workspace.bytes(pointer, values.length).set(values)
    return pointer
  }
  return { ...memory, placeBytes, formats: createFormatKernels(memory.workspace) }
}

test('codes become exactly the numbers they stand for', () => {
  fc.assert(
    fc.property(shape, seed, ({ bits, group, rows, columns }, seed) => {
      const { formats, place, placeBytes, read } = prepare()
      const stored = quantise(normals(rows * columns, seed), rows, columns, { bits, group })
      const out = place(new Float32Array(rows * columns))
      const pointers = { codes: placeBytes(stored.codes), scales: place(stored.scales) }
      formats.dequantise({ bits, group, rows, columns, ...pointers }, out)
      expect(read(out, rows * columns)).toEqual(dequantise(stored, rows, columns, { bits, group }))
    }),
  )
})

test('numbers are quantised no worse than the reference does, group by group', () => {
  fc.assert(
    fc.property(shape, seed, ({ bits, group, rows, columns }, seed) => {
      const { formats, place, workspace } = prepare()
      const values = normals(rows * columns, seed)
      const { groups, codeBytes } = quantisedSizes(rows, columns, { bits, group })
      const [codes, scales] = [workspace.allocate(codeBytes), workspace.allocate(groups * 4)]
      formats.quantise(place(values), { bits, group, rows, columns, codes, scales })
      const stored = { codes: workspace.bytes(codes, codeBytes), scales: workspace.floats(scales, groups) }
      const reference = quantise(values, rows, columns, { bits, group })
      const squaredErrors = [stored, reference].map((matrix) => {
        const decoded = dequantise(matrix, rows, columns, { bits, group })
        return decoded.reduce((sum, value, i) => sum + (value - (values[i] as number)) ** 2, 0)
      }) as [number, number]
      expect(squaredErrors[0]).toBeLessThanOrEqual(squaredErrors[1] * 1.001 + 1e-12)
      const paddedFrom = columns % group
      const lastGroup = codeBytes - (group * bits) / 8
      const zero = bits === 8 ? 128 : 0x88
      const padding = stored.codes.subarray(lastGroup + Math.ceil((paddedFrom * bits) / 8))
      if (paddedFrom > 0) expect(padding.every((code) => code === zero)).toBe(true)
    }),
  )
})

test('groups of zeros, of tiny and of huge numbers stay what they are', () => {
  const { formats, place, read, workspace } = prepare()
  const values = [0, 1e-44, 1e-38, 3e-5, 60000, 3e38].flatMap((value) => Array.from({ length: 16 }, () => value))
  const rows = values.length / 16
  for (const bits of [4, 8] as const) {
    const [codes, scales] = [workspace.allocate(values.length), workspace.allocate(rows * 4)]
    const matrix = { bits, group: 16, rows, columns: 16, codes, scales }
    const out = place(values)
    formats.quantise(place(values), matrix)
    formats.dequantise(matrix, out)
    for (const [i, value] of read(out, values.length).entries()) {
      expect(Math.abs(value - (values[i] as number))).toBeLessThan(1e-6 * (values[i] as number) + 1e-37)
    }
  }
})

test('every half becomes the float32 of the same value', () => {
  const { formats, place, placeBytes, read } = prepare()
  const bytes = new Uint8Array(Uint16Array.from({ length: 65536 }, (_, bits) => bits).buffer)
  const out = place(new Float32Array(65536))
  formats.halvesToFloats(placeBytes(bytes), out, 65535)
  expect(read(out, 65535)).toEqual(decodeFloats('F16', bytes).subarray(0, 65535))
})

/** Random blocks of GGUF with scales that are finite halves. */
function blocksOf(count: number, blockBytes: number, seed: number): Uint8Array {
  const bytes = Uint8Array.from(normals(count * blockBytes, seed), (value) => Math.round(value * 100) & 255)
  for (let block = 0; block < count; block++) bytes[block * blockBytes + 1] = 0x30 + (block & 3)
  return bytes
}

test('GGUF’s blocks of 32 keep their numbers as groups of 32', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), seed, fc.boolean(), (blocks, seed, wide) => {
      const { formats, placeBytes, place, read, workspace } = prepare()
      const bytes = blocksOf(blocks, wide ? 34 : 18, seed)
      const [codes, scales] = [workspace.allocate(blocks * 32), workspace.allocate(blocks * 4)]
      const relay = wide ? formats.relayQ80 : formats.relayQ40
      relay(placeBytes(bytes), codes, scales, blocks)
      const out = place(new Float32Array(blocks * 32))
      formats.dequantise({ bits: wide ? 8 : 4, group: 32, rows: blocks, columns: 32, codes, scales }, out)
      const expected = Array.from({ length: blocks }, (_, block) => {
        const part = bytes.slice(block * (wide ? 34 : 18), (block + 1) * (wide ? 34 : 18))
        const scale = decodeFloats('F16', part.slice(0, 2))[0] as number
        const element = (i: number) => {
          if (wide) return ((part[2 + i] as number) << 24) >> 24
          return i < 16 ? ((part[2 + i] as number) & 15) - 8 : ((part[i - 14] as number) >> 4) - 8
        }
        return Array.from({ length: 32 }, (_, i) => scale * element(i))
      }).flat()
      expect(read(out, blocks * 32)).toEqual(Float32Array.from(expected))
    }),
  )
})
