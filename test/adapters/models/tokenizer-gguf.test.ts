import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createGgufFields } from '#adapters/models/gguf-fields.ts'
import type { GgufMetadata as Metadata } from '#adapters/models/gguf-metadata.ts'
import { createGgufTokenizer } from '#adapters/models/tokenizer-gguf.ts'
import { ggufTokenizerSource } from '#adapters/models/tokenizer-gguf-metadata.ts'
import { createHuggingFaceTokenizer } from '#adapters/models/tokenizer-huggingface.ts'
import { createLlama2cTokenizer } from '#adapters/models/tokenizer-llama2c.ts'
import { ModelUnsupportedError, TokenizerFormatError } from '#core/errors.ts'
import type { Tokenizer } from '#core/ports/model-store.ts'
import {
  flag,
  type GgufMetadata,
  type GgufPiece,
  i32s,
  scoredMetadata,
  scoredPieces,
  text,
  texts,
  u32,
} from '#test/helpers/gguf-writer.ts'
import { byteAlphabet, llama2cVocabulary, tinyTokenizer } from './tiny-models.ts'

/** What the reader makes of metadata, without a file in between. */
function fieldsOf(metadata: GgufMetadata) {
  const values = Object.entries(metadata).map(([key, value]) => {
    if (value.type !== 'array') {
      return value.type === 'string'
        ? [key, { kind: 'string', at: 0, value: value.value }]
        : [key, { kind: 'number', at: 0, type: value.type, value: Number(value.value) }]
    }
    return value.of === 'string'
      ? [key, { kind: 'strings', at: 0, value: value.value }]
      : [key, { kind: 'numbers', at: 0, type: value.of, value: Float64Array.from(value.value) }]
  })
  return createGgufFields(new Map(values as [string, never][]) satisfies Metadata, 'test.gguf')
}

function tokenizerOf(metadata: GgufMetadata, vocabularySize = 1000): Tokenizer {
  const { bytes, beginToken, endTokens } = ggufTokenizerSource(fieldsOf(metadata), vocabularySize)
  return createGgufTokenizer(bytes, { vocabularySize, beginToken, endTokens })
}

function streamed(tokenizer: Tokenizer, tokens: readonly number[]): string {
  const stream = tokenizer.decodeStream()
  return tokens.map((token) => stream.push(token)).join('') + stream.end()
}

const words = ['▁', 'a', 'b', 'c', '▁a', 'ab', 'bc', 'abc', 'aa', 'aaa', 'aaaa', 'é', '▁é', 'caa']
const scores = [-9, -9, -9, -9, -1, -2, -3, -2, -4, -4, -1, -5, -6, -2]

function withScores(pieces: readonly GgufPiece[], values: readonly number[]): GgufPiece[] {
  return pieces.map((piece, id) => ({ ...piece, score: values[id - 259] ?? 0 }))
}

describe('GGUF’s scored vocabulary', () => {
  const scored = scoredMetadata(withScores(scoredPieces(words), scores))
  const tokenizer = tokenizerOf(scored)
  const llama2c = createLlama2cTokenizer(
    llama2cVocabulary(
      words.map((word) => word.replaceAll('▁', ' ')),
      scores,
    ),
    { vocabularySize: 259 + words.length },
  )

  it('gives the tokens that llama2.c gives for the same pieces', () => {
    const sample = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ', 'é', 'x', '😀', '\n'), maxLength: 40 })
    fc.assert(
      fc.property(sample, (value) => {
        expect(tokenizer.encode(value)).toEqual(llama2c.encode(value))
      }),
      { numRuns: 300 },
    )
  })

  it('gives back any text it encoded, all at once and token by token', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        const tokens = tokenizer.encode(value)
        expect(tokenizer.decode(tokens)).toBe(value.toWellFormed().replaceAll('▁', ' '))
        expect(streamed(tokenizer, tokens)).toBe(tokenizer.decode(tokens))
      }),
      { numRuns: 100 },
    )
  })

  it('finds special tokens that are written out, and leaves them out of the text', () => {
    expect(tokenizer.encode('<s>a</s>')).toEqual([1, 263, 2])
    expect(tokenizer.decode([1, 263, 2])).toBe('a')
    expect(tokenizer.encode('a<s>')).toEqual([263, 1])
    expect(tokenizer.encode('')).toEqual([])
  })

  it('merges a character that is no piece into one that is', () => {
    const merging = tokenizerOf(scoredMetadata(scoredPieces(['▁', 'a', 'ß is', 'ßa'])))
    expect(merging.encode('ßa')).toEqual([259, 262])
    expect(merging.encode('ß')).toEqual([259, 3 + 0xc3, 3 + 0x9f])
  })

  it('puts no space in front when the file says so', () => {
    const plain = tokenizerOf({ ...scored, 'tokenizer.ggml.add_space_prefix': flag(false) })
    expect(plain.encode('a')).toEqual([260])
    expect(plain.decode([263, 260])).toBe(' aa')
    expect(plain.decode(plain.encode(' b a'))).toBe(' b a')
  })

  it('keeps user-defined tokens whole and shows them; unused ones are no text', () => {
    const own = [
      { text: '<|tool|>', score: 0, type: 4 },
      { text: '<|tool|>s', score: 0, type: 4 },
      { text: 'unused', score: 0, type: 5 },
    ]
    const pieces = [...scoredPieces(words), ...own]
    const first = pieces.length - 3
    const custom = tokenizerOf(scoredMetadata(pieces))
    expect(custom.encode('a<|tool|>')).toEqual([263, first])
    expect(custom.encode('<|tool|>sa')).toEqual([first + 1, 263])
    expect(custom.decode([263, first, first + 2])).toBe('a<|tool|>')
  })

  it('says with which tokens texts begin and end', () => {
    const ends = (metadata: GgufMetadata) => {
      const { beginToken, endTokens } = tokenizerOf({ ...scored, ...metadata })
      return [beginToken, endTokens]
    }
    expect(ends({})).toEqual([1, [2]])
    expect(ends({ 'tokenizer.ggml.add_bos_token': flag(false) })).toEqual([null, [2]])
    expect(ends({ 'tokenizer.ggml.eot_token_id': u32(5) })).toEqual([1, [2, 5]])
    expect(() => ends({ 'tokenizer.ggml.eos_token_id': u32(9999) })).toThrow(/eos_token_id: 9999 is outside/)
  })

  it('encodes 200,000 characters without hanging', () => {
    const long = 'abcaab aé'.repeat(22_000).slice(0, 200_000)
    const startedAt = performance.now()
    expect(tokenizer.decode(tokenizer.encode(long))).toBe(long)
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  })

  it.each<[string, GgufMetadata, RegExp]>([
    ['two equal pieces', scoredMetadata(scoredPieces(['a', 'a'])), /piece 260: "a" is piece 259 too/],
    ['no byte pieces', scoredMetadata(scoredPieces(['a']).slice(0, 100)), /there is no piece <0x61>/],
    ['too few scores', { ...scored, 'tokenizer.ggml.scores': i32s([1]) }, /scores: 1 for 273 pieces/],
    ['too many types', { ...scored, 'tokenizer.ggml.token_type': i32s(new Array(999).fill(1)) }, /types: 999 for 273/],
    [
      'a score that is no number',
      { ...scored, 'tokenizer.ggml.scores': { type: 'array', of: 'float32', value: new Array(273).fill(Number.NaN) } },
      /scores/,
    ],
    ['no pieces', { ...scored, 'tokenizer.ggml.tokens': texts([]) }, /tokens: is missing/],
    [
      'more pieces than the model has',
      scoredMetadata(scoredPieces(Array.from({ length: 900 }, (_, i) => `p${i}`))),
      /1159 pieces, the embedding has 1000 rows/,
    ],
  ])('with %s is refused', (_what, metadata, message) => {
    expect(() => tokenizerOf(metadata)).toThrow(TokenizerFormatError)
    expect(() => tokenizerOf(metadata)).toThrow(message)
  })
})

/** The tiny Hugging Face tokenizer's pieces and merges. */
const pieces = ['<unk>', '<s>', '</s>', ...byteAlphabet(), 'th', 'the', 'Ġthe', 'in', 'Ġin']
const merges = ['t h', 'th e', 'Ġ the', 'i n', 'Ġ in']
const merged: GgufMetadata = {
  'tokenizer.ggml.model': text('gpt2'),
  'tokenizer.ggml.pre': text('gpt-2'),
  'tokenizer.ggml.tokens': texts(pieces),
  'tokenizer.ggml.token_type': i32s(pieces.map((_, id) => (id < 3 ? 3 : 1))),
  'tokenizer.ggml.merges': texts(merges),
  'tokenizer.ggml.eos_token_id': u32(2),
}

/** Where a text is cut into words: with a vocabulary in which everything within a word merges, words are tokens. */
function cut(pre: string | null, value: string): string[] {
  const { 'tokenizer.ggml.pre': _own, ...others } = { ...merged, ...everyMerge(value) }
  const tokenizer = tokenizerOf(pre === null ? others : { ...others, 'tokenizer.ggml.pre': text(pre) })
  return tokenizer.encode(value).map((token) => tokenizer.decode([token]))
}

/** All parts of an ASCII text as pieces, made of any two parts. */
function everyMerge(value: string): GgufMetadata {
  const characters = [...value].map((character) => byteAlphabet()[character.charCodeAt(0)] ?? '')
  const joined = new Set<string>()
  const pairs = new Set<string>()
  for (let length = 2; length <= characters.length; length++) {
    for (let start = 0; start + length <= characters.length; start++) {
      const part = (from: number, to: number) => characters.slice(start + from, start + to).join('')
      joined.add(part(0, length))
      for (let middle = 1; middle < length; middle++) pairs.add(`${part(0, middle)} ${part(middle, length)}`)
    }
  }
  const all = [...pieces.slice(0, 259), ...joined]
  return {
    'tokenizer.ggml.tokens': texts(all),
    'tokenizer.ggml.token_type': i32s(all.map((_, id) => (id < 3 ? 3 : 1))),
    'tokenizer.ggml.merges': texts([...pairs]),
  }
}

describe('GGUF’s byte-level vocabulary', () => {
  const tokenizer = tokenizerOf(merged, 264)

  it('gives the tokens and texts of the same tokenizer.json', () => {
    const json = new TextEncoder().encode(JSON.stringify(tinyTokenizer()))
    const original = createHuggingFaceTokenizer(json, { vocabularySize: 264, beginToken: null, endTokens: [2] })
    const unit = fc.constantFrom('t', 'h', 'e', ' ', 'i', 'n', '\n', "'s", '12', 'é', '😀', '<s>', '!', '\ud800')
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 30 }), (value) => {
        const tokens = tokenizer.encode(value)
        expect(tokens).toEqual(original.encode(value.toWellFormed()))
        expect(tokenizer.decode(tokens)).toBe(original.decode(tokens))
        expect(streamed(tokenizer, tokens)).toBe(original.decode(tokens))
      }),
      { numRuns: 200 },
    )
  })

  it.each<[string | null, string, string[]]>([
    ['gpt-2', "it's 1234  x\n", ['it', "'s", ' 1234', ' ', ' x', '\n']],
    ['llama-bpe', "IT'S 1234  x\n\n", ['IT', "'S", ' ', '123', '4', ' ', ' x', '\n\n']],
    ['qwen2', "IT'S 12 (x)\n", ['IT', "'S", ' ', '1', '2', ' (', 'x', ')\n']],
    ['smollm', "it's 12 x", ['it', "'s", ' ', '1', '2', ' x']],
    ['tekken', "aBC it's 12/\n", ['a', 'BC', ' it', "'s", ' ', '1', '2', '/\n']],
    ['default', 'a=b 1234 "x"', ['a', '=', 'b', ' ', '123', '4', ' ', '"', 'x', '"']],
    [null, 'a=b 12', ['a', '=', 'b', ' ', '12']],
  ])('cuts words as %s does', (pre, value, expected) => {
    expect(cut(pre, value)).toEqual(expected)
  })

  it('takes a word that is a piece whole where merges are ignored', () => {
    const whole = {
      'tokenizer.ggml.tokens': texts([...pieces, 'xyz']),
      'tokenizer.ggml.token_type': i32s([...pieces.map((_, id) => (id < 3 ? 3 : 1)), 1]),
    }
    const ignoring = tokenizerOf({ ...merged, ...whole, 'tokenizer.ggml.pre': text('llama-bpe') })
    expect(ignoring.encode('xyz')).toEqual([264])
    expect(tokenizerOf({ ...merged, ...whole }).encode('xyz').length).toBe(3)
  })

  it('begins texts only where the file or its kind says so', () => {
    const bos = { ...merged, 'tokenizer.ggml.bos_token_id': u32(1) }
    expect(tokenizerOf(bos).beginToken).toBeNull()
    expect(tokenizerOf({ ...bos, 'tokenizer.ggml.pre': text('llama-bpe') }).beginToken).toBe(1)
    expect(tokenizerOf({ ...bos, 'tokenizer.ggml.add_bos_token': flag(true) }).beginToken).toBe(1)
    expect(tokenizerOf({ ...merged, 'tokenizer.ggml.add_bos_token': flag(true) }).beginToken).toBeNull()
  })

  it('refuses a way to cut words that it does not know, by name', () => {
    const unknown = { ...merged, 'tokenizer.ggml.pre': text('kimi-k2') }
    expect(() => tokenizerOf(unknown)).toThrow(ModelUnsupportedError)
    expect(() => tokenizerOf(unknown)).toThrow('tokenizer.ggml.pre kimi-k2')
  })

  it.each<[string, GgufMetadata, RegExp]>([
    ['a merge of one piece', { ...merged, 'tokenizer.ggml.merges': texts(['th']) }, /merge 0: "th" does not join/],
    ['a merge to no piece', { ...merged, 'tokenizer.ggml.merges': texts(['t h', 'h t']) }, /merge 1: "h t" does not/],
    [
      'a byte without a piece',
      { ...merged, 'tokenizer.ggml.tokens': texts(pieces.map((piece) => (piece === 'A' ? 'AA' : piece))) },
      /no piece for the byte 65/,
    ],
  ])('with %s is refused', (_what, metadata, message) => {
    expect(() => tokenizerOf(metadata)).toThrow(TokenizerFormatError)
    expect(() => tokenizerOf(metadata)).toThrow(message)
  })

  it('without merges is refused', () => {
    const { 'tokenizer.ggml.merges': _left, ...rest } = merged
    expect(() => tokenizerOf(rest)).toThrow(/merges: is missing/)
  })
})

describe('a stored GGUF vocabulary', () => {
  const { bytes } = ggufTokenizerSource(fieldsOf(merged), 264)

  it('is always the same bytes', () => {
    expect(ggufTokenizerSource(fieldsOf(merged), 264).bytes).toEqual(bytes)
    expect(new TextDecoder().decode(bytes)).toMatch(/^\{"formatVersion":1,"model":"gpt2","pieces":\["<unk>",/)
  })

  it('is refused by name wherever it is cut or changed', () => {
    const edit = fc.record({ length: fc.nat(bytes.length), at: fc.nat(bytes.length - 1), byte: fc.nat(255) })
    fc.assert(
      fc.property(edit, ({ length, at, byte }) => {
        const copy = bytes.slice(0, length)
        if (at < length) copy[at] = byte
        try {
          createGgufTokenizer(copy, { vocabularySize: 264, beginToken: null, endTokens: [] }).encode('the abc')
        } catch (error) {
          if (!(error instanceof ModelUnsupportedError)) expect(error).toBeInstanceOf(TokenizerFormatError)
        }
      }),
      { numRuns: 200 },
    )
  })
})
