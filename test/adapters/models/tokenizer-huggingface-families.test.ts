/** Byte-level tokenizers as today's families have them, against the original library; `test/fixtures/tokenizers/make.py` made the ids. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createHuggingFaceTokenizer } from '#adapters/models/tokenizer-huggingface.ts'

interface Fixture {
  readonly vocabularySize: number
  readonly cases: readonly { readonly text: string; readonly ids: number[]; readonly decoded: string }[]
  readonly file: object
}

describe.each(['llama3', 'qwen2', 'tekken'])('a tokenizer of the kind of %s', (name) => {
  const path = resolve(import.meta.dirname, `../../fixtures/tokenizers/${name}.json`)
  const fixture = JSON.parse(readFileSync(path, 'utf8')) as Fixture
  const bytes = new TextEncoder().encode(JSON.stringify(fixture.file))
  const { vocabularySize } = fixture
  const tokenizer = createHuggingFaceTokenizer(bytes, { vocabularySize, beginToken: null, endTokens: [] })

  it.each(fixture.cases)('encodes and decodes $text as the original does', ({ text, ids, decoded }) => {
    expect(tokenizer.encode(text)).toEqual(ids)
    expect(tokenizer.decode(ids)).toBe(decoded)
  })

  it('gives back any text it encoded, composed if it composes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) => {
        const expected = name === 'qwen2' ? text.normalize('NFC') : text
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(expected)
      }),
    )
  })
})
