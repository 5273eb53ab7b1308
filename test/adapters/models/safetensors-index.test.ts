import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maximumShards, parseSafetensorsIndex, shardsOf } from '#adapters/models/safetensors-index.ts'
import { ModelFormatError } from '#core/errors.ts'

const bytesOf = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
const parse = (weightMap: unknown) => parseSafetensorsIndex(bytesOf({ metadata: {}, weight_map: weightMap }))

describe('an index of safetensors files', () => {
  it('says which file holds which tensor', () => {
    const index = parse({ a: 'model-00002-of-00002.safetensors', b: 'model-00001-of-00002.safetensors' })
    expect(index.get('a')).toBe('model-00002-of-00002.safetensors')
    expect(shardsOf(index)).toEqual(['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'])
  })

  it('needs no metadata, and ignores what it says', () => {
    expect(parseSafetensorsIndex(bytesOf({ weight_map: { a: 'a.safetensors' } })).size).toBe(1)
    const metadata = { total_size: 'huge', other: [1, 2] }
    expect(parseSafetensorsIndex(bytesOf({ metadata, weight_map: { a: 'a.safetensors' } })).size).toBe(1)
  })

  it.each([
    '../model.safetensors',
    '..\\model.safetensors',
    '/etc/model.safetensors',
    'sub/model.safetensors',
    'C:model.safetensors',
    '.hidden.safetensors',
    'model.bin',
    'model.safetensors\0',
    'model.safetensors\n',
    `${'a'.repeat(121)}.safetensors`,
    '',
  ])('refuses the file name %j, by the tensor’s name', (file) => {
    expect(() => parse({ 'model.norm.weight': file })).toThrow(ModelFormatError)
    expect(() => parse({ 'model.norm.weight': file })).toThrow('weight_map.model.norm.weight')
  })

  it.each<[string, string, RegExp]>([
    ['a tensor twice', '{"weight_map": {"a": "a.safetensors", "a": "b.safetensors"}}', /the key "a" occurs twice/],
    ['no tensors', '{"weight_map": {}}', /no tensors/],
    ['no map', '{}', /weight_map/],
    ['a list for a map', '{"weight_map": ["a.safetensors"]}', /weight_map/],
    ['numbers for files', '{"weight_map": {"a": 1}}', /weight_map\.a/],
    ['a nameless tensor', '{"weight_map": {"": "a.safetensors"}}', /weight_map/],
    ['half of it', '{"weight_map": {"a": "a.safe', /index\.json/],
    ['deep metadata', `{"metadata": ${'['.repeat(9)}${']'.repeat(9)}, "weight_map": {"a": "a.safetensors"}}`, /nested/],
  ])('with %s is refused', (_what, text, message) => {
    expect(() => parseSafetensorsIndex(bytesOf(text))).toThrow(ModelFormatError)
    expect(() => parseSafetensorsIndex(bytesOf(text))).toThrow(message)
  })

  it('has bounds for tensors and for files', () => {
    const rows = (count: number, file: (i: number) => string) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, file(i)]))
    expect(() => parse(rows(20_001, () => 'a.safetensors'))).toThrow(/20001 tensors, at most 20000/)
    expect(() => parse(rows(maximumShards + 1, (i) => `${i}.safetensors`))).toThrow(/1001 files, at most 1000/)
    expect(() => parse(rows(50_000, () => 'a.safetensors'))).toThrow(/more than 40000 values/)
  })

  it('keeps names that objects are touchy about', () => {
    const index = parseSafetensorsIndex(
      bytesOf('{"weight_map": {"constructor": "a.safetensors", "7": "a.safetensors"}}'),
    )
    expect([...index.keys()].sort()).toEqual(['7', 'constructor'])
  })

  it('is either read in plain names or refused by name, whatever it holds', () => {
    const text = fc.oneof(fc.string(), fc.constantFrom('__proto__', 'a.safetensors', 'toString', '../a.safetensors'))
    const map = fc.array(fc.tuple(text, fc.oneof(text, fc.jsonValue()))).map(Object.fromEntries)
    fc.assert(
      fc.property(fc.oneof(map, fc.jsonValue()), (weightMap) => {
        try {
          const index = parse(weightMap)
          expect(shardsOf(index).every((file) => /^[\w.-]+\.safetensors$/.test(file))).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(ModelFormatError)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('is either read or refused by name when bytes of a sound one change', () => {
    const whole = bytesOf({ metadata: { total_size: 12 }, weight_map: { a: 'a.safetensors', b: 'b.safetensors' } })
    const edits = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(edits, fc.nat(whole.length), (changes, length) => {
        const copy = length % 4 === 0 ? whole.slice(0, length) : whole.slice()
        for (const [index, byte] of changes) if (index < copy.length) copy[index] = byte
        try {
          parseSafetensorsIndex(copy)
        } catch (error) {
          expect(error).toBeInstanceOf(ModelFormatError)
        }
      }),
      { numRuns: 500 },
    )
  })
})
