import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseBoundedJson } from '#adapters/models/bounded-json.ts'

const limits = { depth: 4, values: 100 }
const parse = (text: string, own = limits) => parseBoundedJson(new TextEncoder().encode(text), own)

describe('JSON with bounds', () => {
  it('parses what JSON.parse parses', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => {
        expect(parse(text, { depth: 64, values: 100_000 })).toEqual(JSON.parse(text))
      }),
    )
  })

  it.each([
    ['a repeated key', '{"a": 1, "b": 2, "a": 3}', /"a" occurs twice/],
    ['a repeated key, once with an escape', '{"a": 1, "\\u0061": 3}', /"a" occurs twice/],
    ['a repeated key further down', '[{"x": {"k": 1, "k" : 2}}]', /"k" occurs twice/],
    ['too deep a nesting', '[[[[[]]]]]', /deeper than 4/],
    ['too many values', `[${'1,'.repeat(100)}1]`, /more than 100 values/],
    ['too many containers', `[${'[],'.repeat(60)}[]]`, /more than 100 values/],
    ['a string without an end', '{"a', /does not end/],
    ['a string that ends in an escaped quote', '"a\\\\\\"', /does not end/],
    ['text after the end', '{} {}', /JSON/],
    ['nothing', '', /JSON/],
  ])('refuses %s', (_what, text, message) => {
    expect(() => parse(text)).toThrow(SyntaxError)
    expect(() => parse(text)).toThrow(message)
  })

  it('lets the same key stand in two objects, and as a value', () => {
    expect(parse('[{"a": "a"}, {"a": "a"}, "a"]')).toEqual([{ a: 'a' }, { a: 'a' }, 'a'])
  })

  it('refuses bytes that are not UTF-8', () => {
    expect(() => parseBoundedJson(Uint8Array.of(0x22, 0xff, 0x22), limits)).toThrow(/not UTF-8/)
  })

  it('throws nothing but SyntaxError, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          parseBoundedJson(bytes, limits)
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError)
        }
      }),
    )
  })
})
