import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { withFile } from '#adapters/models/files.ts'
import {
  maximumHeaderBytes,
  parseSafetensorsHeader,
  readSafetensorsLayout,
  readSafetensorsTensor,
} from '#adapters/models/safetensors.ts'
import { safetensorsHeader, type TensorPlan, writeSafetensors } from '#adapters/models/safetensors-writer.ts'
import { ModelFormatError } from '#core/errors.ts'
import { safetensorsBytes, useTemporaryFolders } from './tiny-models.ts'

const newFolder = useTemporaryFolders()
const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
})

async function writeTemporary(bytes: Uint8Array): Promise<string> {
  const path = join(await newFolder(), 'model.safetensors')
  await writeFile(path, bytes)
  return path
}

async function layoutOf(bytes: Uint8Array) {
  return withFile(await writeTemporary(bytes), 'model.safetensors', readSafetensorsLayout)
}

/** Without a file: the header as bytes of a file with `dataBytes` after it. */
function parse(header: unknown, dataBytes: number) {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header))
  return parseSafetensorsHeader(json, { dataBytes, label: 'model.safetensors' })
}

describe('a sound safetensors file', () => {
  const header = {
    __metadata__: { format: 'pt' },
    b: { dtype: 'F16', shape: [2, 2], data_offsets: [8, 16] },
    a: f32(0, 8),
  }
  const data = Uint8Array.from({ length: 16 }, (_, i) => i)

  it('is laid out by its offsets, whatever the order of names', async () => {
    const layout = await layoutOf(safetensorsBytes(header, data))
    expect([...layout.keys()]).toEqual(['a', 'b'])
    expect(layout.get('b')).toMatchObject({ dtype: 'F16', shape: [2, 2] })
  })

  it('gives one tensor’s bytes by range', async () => {
    const path = await writeTemporary(safetensorsBytes(header, data))
    await withFile(path, 'model.safetensors', async (file) => {
      const entry = (await readSafetensorsLayout(file)).get('b')
      expect(entry && (await readSafetensorsTensor(file, entry))).toEqual(data.subarray(8))
    })
  })

  it('may hold a tensor without dimensions, and one without elements', () => {
    expect(parse({ scalar: f32(0, 4, []), empty: f32(4, 4, [0, 7]) }, 4).size).toBe(2)
  })

  it('may hold rows of whole blocks, as the store writes them from GGUF', () => {
    const blocks = { a: { dtype: 'Q8_0', shape: [2, 64], data_offsets: [0, 136] } }
    expect(parse(blocks, 136).get('a')).toMatchObject({ dtype: 'Q8_0', shape: [2, 64] })
    const large = { a: { dtype: 'Q6_K', shape: [3, 256], data_offsets: [0, 630] } }
    expect(parse(large, 630).get('a')?.dtype).toBe('Q6_K')
  })

  it('stops being read when the reader is cancelled', async () => {
    const path = await writeTemporary(safetensorsBytes(header, data))
    await withFile(path, 'model.safetensors', async (file) => {
      const entry = (await readSafetensorsLayout(file)).get('b')
      const read = entry && readSafetensorsTensor(file, entry, { signal: AbortSignal.abort() })
      await expect(read).rejects.toMatchObject({ name: 'AbortError' })
    })
  })

  it('is an error to read when it has been cut since its header was checked', async () => {
    const path = await writeTemporary(safetensorsBytes(header, data))
    await withFile(path, 'model.safetensors', async (file) => {
      const entry = (await readSafetensorsLayout(file)).get('b')
      await writeFile(path, safetensorsBytes(header, data).subarray(0, -1))
      await expect(entry && readSafetensorsTensor(file, entry)).rejects.toThrow(/ends before byte/)
    })
  })
})

describe('a broken safetensors header', () => {
  const many = Object.fromEntries(Array.from({ length: 20_001 }, (_, i) => [`t${i}`, f32(0, 0, [0])]))
  it.each<[string, unknown, number, RegExp]>([
    [
      'rows that are not whole blocks, though the whole is',
      { a: { dtype: 'Q8_0', shape: [2, 48], data_offsets: [0, 102] } },
      102,
      /do not hold Q8_0/,
    ],
    [
      'too few blocks',
      { a: { dtype: 'Q4_K', shape: [2, 256], data_offsets: [0, 144] } },
      144,
      /do not hold Q4_K of shape \[2,256\]/,
    ],
    ['overlapping offsets', { a: f32(0, 8), b: f32(4, 12) }, 12, /tensor b: .*overlaps/],
    ['a tensor inside another', { a: f32(0, 16), b: f32(4, 8) }, 16, /tensor b: .*overlaps/],
    ['the same bytes twice', { a: f32(0, 8), b: f32(0, 8) }, 8, /overlaps/],
    ['a gap between tensors', { a: f32(0, 8), b: f32(12, 16) }, 16, /tensor b: .*gap/],
    ['a gap before the first', { a: f32(4, 8) }, 8, /tensor a: .*gap/],
    ['bytes after the last', { a: f32(0, 8) }, 12, /tensors end at byte/],
    ['offsets past the end', { a: f32(0, 80) }, 8, /tensors end at byte/],
    ['offsets that run backwards', { a: { ...f32(0, 8), data_offsets: [8, 0] } }, 8, /tensor a: offsets 8 to 0/],
    ['negative offsets', { a: { ...f32(0, 8), data_offsets: [-8, 0] } }, 8, /header a\.data_offsets/],
    ['fractional offsets', { a: { ...f32(0, 8), data_offsets: [0, 7.5] } }, 8, /header a\.data_offsets/],
    ['offsets beyond exact numbers', '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,1e300]}}', 8, /header a/],
    ['three offsets', { a: { ...f32(0, 8), data_offsets: [0, 8, 8] } }, 8, /header a\.data_offsets/],
    ['a shape that is not the length', { a: f32(0, 8, [3]) }, 8, /tensor a: .*shape \[3\]/],
    ['a shape whose product overflows', { a: f32(0, 8, [2 ** 32, 2 ** 32, 2 ** 32, 2]) }, 8, /tensor a/],
    ['a shape whose product wraps to the length', { a: f32(0, 8, [2 ** 33, 2 ** 31, 2]) }, 8, /tensor a/],
    ['a negative dimension', { a: f32(0, 8, [-1, -2]) }, 8, /header a\.shape/],
    ['nine dimensions', { a: f32(0, 4, [1, 1, 1, 1, 1, 1, 1, 1, 1]) }, 4, /header a\.shape/],
    ['an integer type', { a: { ...f32(0, 8), dtype: 'I32' } }, 8, /tensor a: dtype I32/],
    ['an 8-bit float type', { a: { dtype: 'F8_E4M3', shape: [8], data_offsets: [0, 8] } }, 8, /dtype F8_E4M3/],
    ['a field we do not know', { a: { ...f32(0, 8), scale: 2 } }, 8, /header a/],
    ['a missing field', { a: { dtype: 'F32', shape: [2] } }, 8, /header a\.data_offsets/],
    ['metadata that is not text', { __metadata__: { n: 1 }, a: f32(0, 8) }, 8, /__metadata__/],
    [
      'a name that occurs twice',
      '{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{}}',
      0,
      /"a" occurs twice/,
    ],
    ['a field that occurs twice', '{"a":{"dtype":"F32","dtype":"F16"}}', 0, /"dtype" occurs twice/],
    ['20,001 tensors', many, 0, /20001 tensors, at most/],
    ['a list', [], 0, /header/],
    ['nothing but spaces', '   ', 0, /header/],
    ['deep nesting', '['.repeat(100_000), 0, /nested deeper/],
    ['a very long shape', `{"a":{"shape":[${'1,'.repeat(400_000)}1]}}`, 0, /more than 320000 values/],
  ])('with %s is refused', (_what, header, dataBytes, message) => {
    expect(() => parse(header, dataBytes)).toThrow(ModelFormatError)
    expect(() => parse(header, dataBytes)).toThrow(message)
  })

  it.each([
    ['a length of 2^60', 1n << 60n],
    ['a length of 2^64 - 1', (1n << 64n) - 1n],
    ['a length one above the limit', BigInt(maximumHeaderBytes) + 1n],
    ['a length past the end of the file', 100n],
  ])('with %s is refused before anything is allocated', async (_what, length) => {
    const bytes = safetensorsBytes({ a: f32(0, 8) }, new Uint8Array(8))
    new DataView(bytes.buffer).setBigUint64(0, length, true)
    const before = process.memoryUsage().arrayBuffers
    await expect(layoutOf(bytes)).rejects.toThrow(/the header claims/)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20)
  })

  it('is refused at every length to which the file may have been cut', async () => {
    const whole = safetensorsBytes({ a: f32(0, 8), b: f32(8, 12) }, new Uint8Array(12))
    for (let length = 0; length < whole.length; length++) {
      await expect(layoutOf(whole.subarray(0, length))).rejects.toBeInstanceOf(ModelFormatError)
    }
  })

  it('is either read or refused by name when bytes of a sound one change', () => {
    const whole = safetensorsBytes(
      { a: f32(0, 8, [2, 1]), b: { dtype: 'BF16', shape: [2], data_offsets: [8, 12] } },
      new Uint8Array(12),
    )
    const header = whole.subarray(8, whole.length - 12)
    const edits = fc.array(fc.tuple(fc.nat(header.length - 1), fc.integer({ min: 0x20, max: 0x7e })), {
      minLength: 1,
      maxLength: 4,
    })
    fc.assert(
      fc.property(edits, (changes) => {
        const changed = header.slice()
        for (const [index, byte] of changes) changed[index] = byte
        try {
          const layout = parseSafetensorsHeader(changed, { dataBytes: 12, label: 'x' })
          expect([...layout.values()].reduce((sum, { begin, end }) => sum + end - begin, 0)).toBe(12)
        } catch (error) {
          expect(error).toBeInstanceOf(ModelFormatError)
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('a written safetensors file', () => {
  const plan = fc.array(
    fc.record({
      name: fc
        .string({ minLength: 1, maxLength: 12 })
        .filter((name) => name !== '__metadata__' && name !== '__proto__'),
      dtype: fc.constantFrom('F32' as const, 'F16' as const, 'BF16' as const),
      shape: fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 3 }),
    }),
    { maxLength: 6 },
  )

  it('has a header that reads back as planned, a multiple of eight long', () => {
    fc.assert(
      fc.property(plan, (tensors) => {
        const unique = [...new Map(tensors.map((tensor) => [tensor.name, tensor])).values()]
        const bytes = safetensorsHeader(unique)
        expect(bytes.length % 8).toBe(0)
        const dataBytes = unique.reduce(
          (sum, { dtype, shape }) => sum + (dtype === 'F32' ? 4 : 2) * shape.reduce((a, b) => a * b, 1),
          0,
        )
        const layout = parseSafetensorsHeader(bytes.subarray(8), { dataBytes, label: 'x' })
        const readBack = [...layout.values()].map(({ name, dtype, shape }) => ({ name, dtype, shape }))
        expect(readBack.sort(byName)).toEqual(unique.sort(byName))
      }),
    )
  })

  it('cannot come out shorter or longer than planned', async () => {
    const path = join(await newFolder(), 'short.safetensors')
    const handle = await open(path, 'wx')
    const tensors: TensorPlan[] = [{ name: 'a', dtype: 'F32', shape: [2] }]
    async function* sevenBytes() {
      yield new Uint8Array(7)
    }
    await expect(writeSafetensors(handle, tensors, sevenBytes)).rejects.toThrow(/7 bytes came, 8 were planned/)
    await handle.close()
  })
})

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1
}
