/** Files made to harm: every one gives a named error that says where, or a sound model; nothing is allocated on their word. */
import { truncate, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { withFile } from '#adapters/models/files.ts'
import { readGgufLayout } from '#adapters/models/gguf-layout.ts'
import { openModelSource } from '#adapters/models/open-source.ts'
import { CodedError } from '#contracts/errors.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import {
  f32s,
  type GgufFilePlan,
  type GgufTensorPlan,
  ggufBytes,
  ggufHeader,
  text,
  texts,
  u32,
} from '#test/helpers/gguf-writer.ts'
import { patched, placeGguf, tinyGguf } from './tiny-gguf.ts'
import { useTemporaryFolders } from './tiny-models.ts'

const newFolder = useTemporaryFolders()

const huge = 1n << 60n
const filled = (chunk: Float32Array) => {
  chunk.fill(1)
}
const tensor = (name: string, changes: Partial<GgufTensorPlan> = {}): GgufTensorPlan => ({
  name,
  dtype: 'F32',
  shape: [4, 8],
  fill: filled,
  ...changes,
})
const plan: GgufFilePlan = {
  metadata: {
    'a.number': u32(7),
    'a.text': text('some words'),
    'a.list': texts(['one', 'two']),
    'a.floats': f32s([1, 2]),
  },
  tensors: [tensor('first'), tensor('second', { shape: [8] })],
}
const bytes = ggufBytes(plan)

async function readLayout(file: Uint8Array) {
  const path = await placeGguf(await newFolder(), file)
  return withFile(path, 'x.gguf', readGgufLayout)
}

/** `skip` is counted from the first byte of the text. */
const patch = (word: string, skip: number, write: (view: DataView) => void) => patched(bytes, word, skip, write)
const long = (value: bigint) => (view: DataView) => view.setBigUint64(0, value, true)
const int = (value: number) => (view: DataView) => view.setUint32(0, value, true)

describe('a GGUF container', () => {
  it('that is sound is read', async () => {
    const { fields, tensors } = await readLayout(bytes)
    expect([fields.count('a.number'), fields.text('a.text'), fields.strings('a.list')]).toEqual([
      7,
      'some words',
      ['one', 'two'],
    ])
    expect([...(fields.numbers('a.floats') ?? [])]).toEqual([1, 2])
    expect([...tensors.values()].map(({ name, shape }) => [name, shape])).toEqual([
      ['first', [4, 8]],
      ['second', [8]],
    ])
  })

  it.each<[string, Uint8Array, RegExp]>([
    ['2^60 tensors', patch('GGUF', 8, long(huge)), /tensor count at byte 8: 1152921504606847000 elements, at most/],
    ['20,000 tensors in a short file', patch('GGUF', 8, long(20_000n)), /tensor count at byte 8: .* do not fit/],
    ['2^60 metadata', patch('GGUF', 16, long(huge)), /metadata count at byte 16/],
    ['4,000 metadata in a short file', patch('GGUF', 16, long(4_000n)), /metadata count at byte 16: .* do not fit/],
    ['a key of 2^60 bytes', patch('a.number', -8, long(huge)), /key 0 at byte 24: a text of 1152921504606847000 bytes/],
    [
      'a key longer than any',
      ggufBytes({ ...plan, metadata: { ['k'.repeat(1025)]: u32(1) } }),
      /key 0 at byte 24: a text of 1025 bytes is too long/,
    ],
    ['a text of 2^60 bytes', patch('some words', -8, long(huge)), /a\.text at byte \d+: a text of 115/],
    ['a text of 2^64 - 1 bytes', patch('some words', -8, long((1n << 64n) - 1n)), /a\.text at byte/],
    ['a list of 2^60', patch('a.list', 14, long(huge)), /a\.list at byte \d+: 1152921504606847000 elements, at most/],
    [
      'a list longer than the file',
      patch('a.list', 14, long(2_000_000n)),
      /a\.list at byte \d+: 2000000 elements do not fit/,
    ],
    [
      'floats longer than the file',
      patch('a.floats', 16, long(2_000_000n)),
      /a\.floats at byte \d+: 2000000 elements do not fit/,
    ],
    ['an element of 2^60 bytes', patch('one', -8, long(huge)), /a\.list at byte \d+: a text of/],
    ['a list of lists', patch('a.list', 10, int(9)), /a\.list at byte \d+: an array of arrays/],
    ['a value type of 13', patch('a.number', 8, int(13)), /a\.number at byte \d+: value type 13/],
    ['an element type of 2^32 - 1', patch('a.list', 10, int(0xffffffff)), /a\.list at byte \d+: value type 4294967295/],
    ['a bool of 7', patch('a.number', 8, int(7)), /a\.number at byte \d+: 7 is neither true nor false/],
    [
      'a text that is not UTF-8',
      patch('some words', 0, (view) => view.setUint8(0, 0xff)),
      /a\.text at byte \d+: not UTF-8/,
    ],
    [
      'a key twice',
      patch('a.list', 0, (view) => view.setUint32(2, 0x74786574, true)),
      /a\.text at byte \d+: the key occurs twice/,
    ],
    ['no dimensions', patch('first', 5, int(0)), /tensor first at byte \d+: 0 dimensions/],
    ['five dimensions', patch('first', 5, int(5)), /tensor first at byte \d+: 5 dimensions/],
    ['a dimension of 0', patch('first', 9, long(0n)), /tensor first at byte \d+: a dimension of 0/],
    ['a dimension of 2^60', patch('first', 9, long(huge)), /tensor first at byte \d+: a dimension of 115/],
    [
      'more elements than bytes',
      patch('first', 9, long(1n << 31n)),
      /tensor first at byte \d+: ends at byte \d+, the file/,
    ],
    ['an offset beyond the file', patch('second', 22, long(huge)), /tensor second at byte \d+: ends at byte/],
    [
      'an offset that is not aligned',
      patch('second', 22, long(129n)),
      /tensor second at byte \d+: offset 129 is not a multiple/,
    ],
    ['tensors that overlap', patch('second', 22, long(96n)), /tensor second at byte \d+: overlaps/],
    [
      'tensors of one name',
      ggufBytes({ ...plan, tensors: [tensor('same'), tensor('same')] }),
      /tensor same at byte \d+: the name occurs twice/,
    ],
    [
      'an alignment of 3',
      ggufBytes({ ...plan, metadata: { 'general.alignment': u32(3) } }),
      /general\.alignment: 3 is not a power of two/,
    ],
    ['an alignment of 0', ggufBytes({ ...plan, metadata: { 'general.alignment': u32(0) } }), /0 is not a power of two/],
    [
      'an alignment of 2^31',
      ggufBytes({ ...plan, metadata: { 'general.alignment': u32(2 ** 31) } }),
      /not a power of two/,
    ],
    [
      'an alignment in words',
      ggufBytes({ ...plan, metadata: { 'general.alignment': text('32') } }),
      /expected a whole number, found a text/,
    ],
    [
      'rows that are not whole blocks',
      patch('first', 25, int(8)),
      /tensor first at byte \d+: rows of 8 are not whole blocks of Q8_0/,
    ],
  ])('with %s is refused with the place', async (_what, file, message) => {
    await expect(readLayout(file)).rejects.toThrow(ModelFormatError)
    await expect(readLayout(file)).rejects.toThrow(message)
  })

  it('with dimensions whose product is beyond every integer is refused', async () => {
    const vast = ggufHeader({
      metadata: {},
      tensors: [tensor('vast', { shape: [2 ** 31, 2 ** 31, 2 ** 31, 2 ** 31] })],
    })
    await expect(readLayout(vast)).rejects.toThrow(
      /tensor vast at byte 24: ends at byte 850705917302346158658436518579420\d+/,
    )
  })

  it.each([
    [17, 'IQ2_XS'],
    [6, 'Q5_0'],
    [26, 'I32'],
    [999, 'type 999'],
  ])('with tensors of type %i is refused as %s', async (type, name) => {
    await expect(readLayout(patch('first', 25, int(type)))).rejects.toThrow(ModelUnsupportedError)
    await expect(readLayout(patch('first', 25, int(type)))).rejects.toThrow(`tensor type ${name} (first)`)
  })

  it('cut anywhere is refused', async () => {
    const path = await placeGguf(await newFolder(), bytes)
    for (let length = bytes.length - 1; length >= 0; length--) {
      await truncate(path, length)
      await expect(withFile(path, 'x.gguf', readGgufLayout)).rejects.toThrow(ModelFormatError)
    }
  })

  it('whose texts add up to gigabytes is refused before they are read', async () => {
    const path = await placeGguf(await newFolder(), patch('some words', -8, long(2n ** 31n)))
    await truncate(path, 3 * 2 ** 30)
    await expect(withFile(path, 'x.gguf', readGgufLayout)).rejects.toThrow(
      /a\.text at byte \d+: more than 134217728 bytes/,
    )
  })
})

describe('a whole GGUF model', () => {
  const whole = ggufBytes(tinyGguf())
  const headerBytes = ggufHeader(tinyGguf()).length

  async function outcome(path: string): Promise<string> {
    try {
      const source = await openModelSource(path)
      await source.close()
      return 'opened'
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      return error.code
    }
  }

  it('opens, or is refused by name, however it is cut and changed', async () => {
    const path = await placeGguf(await newFolder(), whole)
    const edits = fc.array(fc.record({ at: fc.nat(headerBytes - 1), byte: fc.nat(255) }), { maxLength: 4 })
    const cut = fc.option(fc.nat(whole.length), { nil: undefined })
    const codes = new Set<string>()
    await fc.assert(
      fc.asyncProperty(edits, cut, async (changes, length) => {
        const copy = whole.slice(0, length)
        for (const { at, byte } of changes) if (at < copy.length) copy[at] = byte
        await writeFile(path, copy)
        codes.add(await outcome(path))
      }),
      { numRuns: 400 },
    )
    const known = ['opened', 'model-format', 'model-unsupported', 'tokenizer-format', 'invalid-input']
    expect(known).toEqual(expect.arrayContaining([...codes]))
  })

  it('opens, or is refused by name, when a number in it is extreme', async () => {
    const path = await placeGguf(await newFolder(), whole)
    const extremes = [0n, 1n, 255n, 1n << 31n, (1n << 32n) - 1n, 1n << 53n, huge, (1n << 63n) - 1n, (1n << 64n) - 1n]
    await fc.assert(
      fc.asyncProperty(fc.nat(headerBytes - 8), fc.constantFrom(...extremes), async (at, value) => {
        const copy = whole.slice()
        new DataView(copy.buffer).setBigUint64(at, value, true)
        await writeFile(path, copy)
        await outcome(path)
      }),
      { numRuns: 300 },
    )
  })
})
