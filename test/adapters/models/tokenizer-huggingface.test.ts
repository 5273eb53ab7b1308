import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createHuggingFaceTokenizer } from '#adapters/models/tokenizer-huggingface.ts'
import { TokenizerFormatError } from '#core/errors.ts'
import type { Tokenizer } from '#core/ports/model-store.ts'
import { hasShared, sharedPath } from '#test/helpers/shared.ts'
import { tinyTokenizer } from './tiny-models.ts'

const seedlingFile = readFileSync(resolve(import.meta.dirname, '../../../resources/models/seedling/tokenizer.json'))
const seedlingInit = { vocabularySize: 2048, beginToken: 1, endTokens: [2] }
const seedling = createHuggingFaceTokenizer(seedlingFile, seedlingInit)
const libraryOf = (file: string) => new LibraryTokenizer(JSON.parse(file), { clean_up_tokenization_spaces: false })

function build(file: object | string, vocabularySize = 264): Tokenizer {
  const bytes = new TextEncoder().encode(typeof file === 'string' ? file : JSON.stringify(file))
  return createHuggingFaceTokenizer(bytes, { vocabularySize, beginToken: 1, endTokens: [2] })
}

function streamed(tokenizer: Tokenizer, tokens: readonly number[]): string[] {
  const stream = tokenizer.decodeStream()
  return [...tokens.map((token) => stream.push(token)), stream.end()]
}

describe('a byte-level tokenizer', () => {
  it('gives back any text it encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) => {
        expect(seedling.decode(seedling.encode(text))).toBe(text)
      }),
    )
  })

  it('decodes what the library decodes, at once and token by token', () => {
    const library = libraryOf(seedlingFile.toString())
    const tokens = fc.array(fc.nat(2047), { minLength: 1, maxLength: 60 })
    fc.assert(
      fc.property(tokens, (ids) => {
        const text = seedling.decode(ids)
        expect(text).toBe(library.decode(ids, { skip_special_tokens: true }))
        expect(streamed(seedling, ids).join('')).toBe(text)
      }),
    )
  })

  it('never shows half a character', () => {
    const tokenizer = build(tinyTokenizer())
    expect(streamed(tokenizer, tokenizer.encode('é😀'))).toEqual(['', 'é', '', '', '', '😀', ''])
  })

  it('adds no begin token, and reads special tokens only where they are written out', () => {
    expect(seedling.encode('we')).not.toContain(1)
    expect(seedling.encode('<s>we</s>')).toEqual([1, ...seedling.encode('we'), 2])
    expect(seedling.encode('')).toEqual([])
  })

  it('shows added tokens that are not special as they are written', () => {
    const file = tinyTokenizer()
    const added = { id: 264, content: '<tool é>', special: false, normalized: false }
    const tokenizer = build({ ...file, added_tokens: [...(file['added_tokens'] as object[]), added] }, 265)
    expect(tokenizer.encode('in<tool é>')).toEqual([262, 264])
    expect(tokenizer.decode([262, 264])).toBe('in<tool é>')
  })

  it('may be smaller than the model’s vocabulary; the ids in between say nothing', () => {
    const tokenizer = build(tinyTokenizer(), 300)
    expect(tokenizer.decode([262, 299, 262])).toBe('inin')
    expect(() => tokenizer.decode([300])).toThrow(RangeError)
  })

  it('encodes 200,000 characters without hanging', () => {
    const startedAt = performance.now()
    for (const long of ['a'.repeat(200_000), 'the Union '.repeat(20_000)]) {
      expect(seedling.decode(seedling.encode(long))).toBe(long)
    }
    expect(performance.now() - startedAt).toBeLessThan(8_000)
  })

  it.skipIf(!hasShared('conformance'))('agrees with the conformance vectors (needs ../shared)', () => {
    const { greedy } = JSON.parse(readFileSync(sharedPath('conformance/seedling.json'), 'utf8')) as {
      greedy: { prompt: string; prompt_tokens: number[]; completion: string; completion_tokens: number[] }[]
    }
    for (const { prompt, prompt_tokens, completion, completion_tokens } of greedy) {
      expect([1, ...seedling.encode(prompt)]).toEqual(prompt_tokens)
      expect(seedling.decode([...prompt_tokens, ...completion_tokens])).toBe(prompt + completion)
    }
  })
})

/** Llama 2's kind: pieces with `▁` for spaces, bytes as `<0xNN>`, a space in front. */
function sentencePieceFile(): Record<string, unknown> {
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`)
  const pieces = ['<unk>', '<s>', '</s>', ...bytes, '▁', 'a', 'b', '▁a', 'ab', '▁ab', '▁▁']
  const special = (id: number) => ({ id, content: pieces[id], special: true, normalized: false })
  return {
    added_tokens: [special(0), special(1), special(2)],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: [
        ['▁', 'a'],
        ['a', 'b'],
        ['▁', 'ab'],
        ['▁a', 'b'],
        ['▁', '▁'],
      ],
    },
  }
}

describe('a tokenizer with byte fallback', () => {
  const tokenizer = build(sentencePieceFile(), 266)

  it('gives back any text it encoded', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', ' ', 'é', '😀', '\n'), maxLength: 40 })
    fc.assert(
      fc.property(text, (value) => {
        expect(tokenizer.decode(tokenizer.encode(value))).toBe(value)
        expect(streamed(tokenizer, tokenizer.encode(value)).join('')).toBe(value)
      }),
    )
  })

  it('decodes what the library decodes, for pieces that are text', () => {
    const library = libraryOf(JSON.stringify(sentencePieceFile()))
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 259, max: 265 }), { minLength: 1 }), (ids) => {
        expect(tokenizer.decode(ids)).toBe(library.decode([1, ...ids, 2], { skip_special_tokens: true }))
      }),
    )
  })

  it('drops the space in front at the start of the text only', () => {
    expect(tokenizer.decode([1, 262, 262])).toBe('a a')
  })
})

describe('a tokenizer with Metaspace', () => {
  const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first' }
  const tokenizer = build(
    { ...sentencePieceFile(), normalizer: null, pre_tokenizer: { ...metaspace, split: false }, decoder: metaspace },
    266,
  )

  it('puts a space in front and takes it away again', () => {
    expect(tokenizer.encode('ab ab')).toEqual([264, 264])
    expect(tokenizer.decode([264, 264])).toBe('ab ab')
  })
})

describe('a broken tokenizer.json', () => {
  const vocab = (tinyTokenizer()['model'] as { vocab: Record<string, number> }).vocab
  const withVocab = (changes: Record<string, number | undefined>) =>
    tinyTokenizer({ model: { vocab: { ...vocab, ...changes } } })

  it.each<[string, object | string, RegExp]>([
    ['a hole in the vocabulary', withVocab({ '!': undefined }), /id 36: a hole/],
    ['two pieces of one id', withVocab({ zz: 36 }), /id 36: stands for both/],
    ['an id outside the model’s vocabulary', withVocab({ zz: 264 }), /id 264 is outside/],
    ['an enormous id', withVocab({ zz: 2 ** 40 }), /model\.vocab/],
    ['a negative id', withVocab({ zz: -1 }), /model\.vocab/],
    [
      'a piece that occurs twice',
      JSON.stringify(tinyTokenizer()).replace('"th":259', '"the":259'),
      /"the" occurs twice/,
    ],
    ['no vocabulary', tinyTokenizer({ model: { vocab: {}, merges: [] }, added_tokens: [] }), /empty/],
    [
      'an added token that moves a piece',
      tinyTokenizer({ added_tokens: [{ id: 5, content: 'th', special: false }] }),
      /id 5/,
    ],
    ['a merge into nothing', tinyTokenizer({ model: { merges: ['z z'] } }), /merge 0: "zz" is not/],
    ['a merge of one piece', tinyTokenizer({ model: { merges: ['th'] } }), /merge 0: not two/],
    ['merges of both kinds', tinyTokenizer({ model: { merges: ['t h', ['th', 'e']] } }), /merge 1: not two/],
    ['a merge of numbers', tinyTokenizer({ model: { merges: [[1, 2]] } }), /merge 0: not two/],
    ['an unknown piece that is unknown', tinyTokenizer({ model: { unk_token: 'nope' } }), /unk_token/],
    ['another kind of model', tinyTokenizer({ model: { type: 'Unigram' } }), /model\.type/],
    ['dropout', tinyTokenizer({ model: { dropout: 0.1 } }), /model\.dropout/],
    ['a decoder we do not know', tinyTokenizer({ decoder: { type: 'CTC' } }), /decoder/],
    ['no decoder', tinyTokenizer({ decoder: null }), /decoder/],
    ['a normalizer we do not know', tinyTokenizer({ normalizer: { type: 'Precompiled' } }), /normalizer/],
    [
      'a pattern that is no pattern',
      tinyTokenizer({ pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated', invert: false } }),
      /tokenizer\.json/,
    ],
    [
      'a way of splitting that the library does not know',
      tinyTokenizer({
        pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithNext', invert: false },
      }),
      /pre_tokenizer/,
    ],
    ['text', 'hello', /JSON/],
    ['a list', [], /tokenizer\.json/],
  ])('with %s is refused', (_what, file, message) => {
    expect(() => build(file)).toThrow(TokenizerFormatError)
    expect(() => build(file)).toThrow(message)
  })

  it('is either read or refused by name when parts of a sound one change', () => {
    const whole = new TextEncoder().encode(JSON.stringify(tinyTokenizer()))
    const edits = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0x20, max: 0x7e })), {
      minLength: 1,
      maxLength: 3,
    })
    fc.assert(
      fc.property(edits, fc.nat(whole.length), (changes, length) => {
        const copy = length % 8 === 0 ? whole.slice(0, length) : whole.slice()
        for (const [index, byte] of changes) if (index < copy.length) copy[index] = byte
        try {
          const tokenizer = createHuggingFaceTokenizer(copy, { vocabularySize: 264, beginToken: 1, endTokens: [2] })
          tokenizer.decode(tokenizer.encode('in the end'))
        } catch (error) {
          expect(error).toBeInstanceOf(TokenizerFormatError)
        }
      }),
      { numRuns: 300 },
    )
  })
})
