import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLlama2cTokenizer } from '#adapters/models/tokenizer-llama2c.ts'
import { TokenizerFormatError } from '#core/errors.ts'
import { hasShared, sharedPath } from '#test/helpers/shared.ts'
import { llama2cVocabulary } from './tiny-models.ts'

const texts = [' ', 'a', 'b', 'c', ' a', 'ab', 'bc', 'abc', 'aa', 'aaa', 'aaaa', 'é', ' é', 'caa']
const scores = [-9, -9, -9, -9, -1, -2, -3, -2, -4, -4, -1, -5, -6, -2]
const bytes = llama2cVocabulary(texts, scores)
const vocabularySize = 259 + texts.length
const tokenizer = createLlama2cTokenizer(bytes, { vocabularySize })
const pieces = ['<unk>', '<s>', '</s>', ...Array.from({ length: 256 }, () => null), ...texts]

/** run.c's own way: scan all pairs, merge the best, leftmost first, until there is none. */
function encodeSlowly(text: string): number[] {
  const tokens = [...` ${text}`].flatMap((character) => {
    const id = pieces.indexOf(character)
    return id >= 0 ? [id] : [...Buffer.from(character)].map((byte) => byte + 3)
  })
  for (;;) {
    let best = { score: Number.NEGATIVE_INFINITY, at: -1, id: -1 }
    for (let i = 0; i + 1 < tokens.length; i++) {
      const id = pieces.indexOf(`${pieces[tokens[i] ?? 0]}${pieces[tokens[i + 1] ?? 0]}`)
      const score = scores[id - 259] ?? 0
      if (id >= 0 && score > best.score) best = { score, at: i, id }
    }
    if (best.at < 0) return tokens
    tokens.splice(best.at, 2, best.id)
  }
}

function streamed(tokens: readonly number[]): string[] {
  const stream = tokenizer.decodeStream()
  return [...tokens.map((token) => stream.push(token)), stream.end()]
}

const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ', 'é', 'x', '😀', '\n'), maxLength: 40 })

describe('llama2.c’s tokenizer', () => {
  it('merges in exactly the order of run.c', () => {
    fc.assert(
      fc.property(text, (value) => {
        expect(tokenizer.encode(value)).toEqual(value === '' ? [] : encodeSlowly(value))
      }),
      { numRuns: 300 },
    )
  })

  it('gives back any text it encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        const wellFormed = value.toWellFormed()
        expect(tokenizer.decode(tokenizer.encode(value))).toBe(wellFormed)
      }),
    )
  })

  it('decodes token by token what it decodes at once', () => {
    const tokens = fc.array(fc.nat(vocabularySize - 1), { maxLength: 60 })
    fc.assert(
      fc.property(tokens, (ids) => {
        expect(streamed(ids).join('')).toBe(tokenizer.decode(ids))
      }),
    )
  })

  it('never shows half a character', () => {
    const smile = [...Buffer.from('😀')].map((byte) => byte + 3)
    expect(streamed(smile)).toEqual(['', '', '', '😀', ''])
    expect(streamed(smile.slice(0, 2))).toEqual(['', '', '\ufffd'])
  })

  it('writes nothing for an empty text, not even the space in front', () => {
    expect(tokenizer.encode('')).toEqual([])
    expect(tokenizer.decode([])).toBe('')
  })

  it('drops the space in front at the start of the text only', () => {
    const [space, letter] = [259, 263]
    expect(tokenizer.decode([1, letter, letter])).toBe('a a')
    expect(tokenizer.decode([1, space, letter])).toBe(' a')
    const stream = tokenizer.decodeStream()
    for (const token of [1, ...tokenizer.encode('b')]) stream.push(token)
    expect(stream.push(letter)).toBe(' a')
  })

  it('leaves control tokens out of the text', () => {
    expect(tokenizer.decode([1, 260, 2, 0, 261])).toBe('ab')
  })

  it('encodes 200,000 characters without hanging', () => {
    const long = 'abcaab aé'.repeat(22_000).slice(0, 200_000)
    const startedAt = performance.now()
    expect(tokenizer.decode(tokenizer.encode(long))).toBe(long)
    expect(tokenizer.encode('a'.repeat(200_000)).length).toBeLessThan(60_000)
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  })

  it.each([-1, 1.5, vocabularySize])('does not decode the id %s', (id) => {
    expect(() => tokenizer.decode([id])).toThrow(RangeError)
  })
})

describe('a broken llama2.c vocabulary', () => {
  const changed = (at: number, write: (view: DataView) => void) => {
    const copy = bytes.slice()
    write(new DataView(copy.buffer, at))
    return copy
  }
  it.each([
    ['too few pieces', bytes, vocabularySize + 1, /the model has/],
    ['too many pieces', bytes, vocabularySize - 1, /more pieces/],
    ['a length of 2^31 - 1', changed(8, (v) => v.setInt32(0, 2 ** 31 - 1, true)), vocabularySize, /piece 0 .*length/],
    ['a negative length', changed(8, (v) => v.setInt32(0, -1, true)), vocabularySize, /piece 0 .*length -1/],
    ['an empty piece', changed(8, (v) => v.setInt32(0, 0, true)), vocabularySize, /piece 0 .*length 0/],
    ['a score that is no number', changed(4, (v) => v.setFloat32(0, Number.NaN, true)), vocabularySize, /score NaN/],
    ['an enormous longest piece', changed(0, (v) => v.setInt32(0, 1 << 30, true)), vocabularySize, /longest piece/],
    ['a piece that is not UTF-8', changed(12, (v) => v.setUint8(0, 0xff)), vocabularySize, /piece 0: not UTF-8/],
    [
      'another byte piece',
      changed(4 + 13 + 13 + 14 + 8 + 3, (v) => v.setUint8(0, 0x37)),
      vocabularySize,
      /piece 3: expected <0x00>/,
    ],
    ['random bytes', Uint8Array.from({ length: 64 }, (_, i) => (i * 89) & 255), vocabularySize, /vocabulary/],
  ])('with %s is refused', (_what, file, size, message) => {
    expect(() => createLlama2cTokenizer(file, { vocabularySize: size })).toThrow(TokenizerFormatError)
    expect(() => createLlama2cTokenizer(file, { vocabularySize: size })).toThrow(message)
  })

  it('is refused by name wherever it is cut or changed', () => {
    const edit = fc.record({ length: fc.nat(bytes.length), at: fc.nat(bytes.length - 1), byte: fc.nat(255) })
    fc.assert(
      fc.property(edit, ({ length, at, byte }) => {
        const copy = bytes.slice(0, length)
        if (at < length) copy[at] = byte
        try {
          createLlama2cTokenizer(copy, { vocabularySize }).encode('abc')
        } catch (error) {
          expect(error).toBeInstanceOf(TokenizerFormatError)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe.skipIf(!hasShared('models/stories260K'))('the vocabulary of stories260K (needs ../shared)', () => {
  it('encodes and decodes the published story', () => {
    const stories = createLlama2cTokenizer(readFileSync(sharedPath('models/stories260K/tok512.bin')), {
      vocabularySize: 512,
    })
    const story = 'Once upon a time, there was a little girl named Lily. She loved to play outside in the park.'
    const tokens = stories.encode(story)
    expect(tokens.slice(0, 4)).toEqual([403, 407, 261, 378])
    expect(stories.decode([1, ...tokens])).toBe(story)
  })
})
