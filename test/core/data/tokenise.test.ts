import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cutText } from '#core/data/cut-text.ts'
import { createDocumentTokeniser } from '#core/data/tokenise.ts'
import { learntWindows, textWindows } from '#core/data/windows.ts'
import type { DocumentBody } from '#core/ports/data-source.ts'
import type { TrainingExample } from '#core/ports/training-engine.ts'
import { createWordTokenizer, type WordTokenizerInit } from '#test/helpers/word-tokenizer.ts'

const begins = { beginToken: 0, endTokens: [1] } as const

/** Each example as text, what is learnt in brackets, `<s>` and `</s>` for the special tokens. */
function shown(body: DocumentBody, sequenceLength = 64, init: WordTokenizerInit = begins): string[] {
  const tokenizer = createWordTokenizer(init)
  const tokenised = createDocumentTokeniser(tokenizer, sequenceLength)(body)
  const word = (token: number) => (token === 0 ? '<s>' : token === 1 ? '</s>' : tokenizer.decode([token]))
  const examples = tokenised.kind === 'choice' ? tokenised.choice.choices : tokenised.examples
  return examples.map(({ tokens, targetWeights }) => {
    const learnt = tokens.map((_, place) => place > 0 && targetWeights?.[place - 1] !== 0)
    return tokens.map((token, place) => (learnt[place] ? `[${word(token)}]` : word(token))).join('')
  })
}

describe('tokenising documents', () => {
  it('learns all of a text', () => {
    expect(shown({ kind: 'text', text: 'to be or not' })).toEqual(['<s>[to][ be][ or][ not]'])
  })

  it('learns the completion and its end, not the prompt', () => {
    const body = { kind: 'completion', prompt: 'two and two', completion: 'four' } as const
    expect(shown(body)).toEqual(['<s>two and two[\n][four][</s>]'])
    expect(shown({ ...body, completion: ' is four' })).toEqual(['<s>two and two[ is][ four][</s>]'])
    expect(shown(body, 64, {})).toEqual(['two and two[\n][four][\n]'])
  })

  it('learns what the assistant says', () => {
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'Hi there' },
      { role: 'user', content: 'Bye' },
      { role: 'assistant', content: 'Bye' },
    ] as const
    expect(shown({ kind: 'chat', messages })).toEqual([
      '<s>System: Be brief.\nUser: Hello\nAssistant:[ Hi][ there][</s>]\nUser: Bye\nAssistant:[ Bye][</s>]',
    ])
  })

  it('learns each choice behind its question', () => {
    const body = { kind: 'choice', question: 'Is it so?', choices: ['yes', 'not at all'], answer: 1 } as const
    expect(shown(body)).toEqual(['<s>Is it so?[ yes]', '<s>Is it so?[ not][ at][ all]'])
  })

  it('gives the last of a long prompt and all of its completion when they do not fit', () => {
    const prompt = 'a b c d e f g h'
    expect(shown({ kind: 'completion', prompt, completion: ' y z' }, 6)).toEqual(['<s> g h[ y][ z][</s>]'])
    expect(shown({ kind: 'completion', prompt, completion: ' u v w x y z' }, 6)).toEqual([
      '<s> f g h[ u][ v]',
      '<s>[ w][ x][ y][ z][</s>]',
    ])
  })

  it('cuts the question of all choices alike', () => {
    const body = { kind: 'choice', question: 'a b c d e', choices: ['x', 'x y z'], answer: 0 } as const
    expect(shown(body, 6)).toEqual(['<s> d e[ x]', '<s> d e[ x][ y][ z]'])
  })

  it('leaves words as they are behind a tokenizer that puts a space first', () => {
    const plain = createWordTokenizer(begins)
    const spacing = { ...plain, encode: (text: string) => plain.encode(text.startsWith(' ') ? text : ` ${text}`) }
    const tokenise = createDocumentTokeniser(spacing, 64)
    const tokenised = tokenise({ kind: 'completion', prompt: 'two and', completion: 'four' })
    const [example] = tokenised.kind === 'examples' ? tokenised.examples : []
    expect(plain.decode(example?.tokens ?? [])).toBe(' two and\nfour')
  })
})

describe('windows', () => {
  const tokenCounts = fc.integer({ min: 0, max: 300 })
  const lengths = fc.integer({ min: 2, max: 40 })
  const beginTokens = fc.constantFrom(null, 7)
  const targetsOf = (examples: readonly TrainingExample[]) => examples.flatMap(({ tokens }) => tokens.slice(1))

  it('have every token as a target once, in order, and are no longer than allowed', () => {
    fc.assert(
      fc.property(tokenCounts, lengths, beginTokens, (count, sequenceLength, beginToken) => {
        const tokens = Array.from({ length: count }, (_, index) => index)
        const learnt = tokens.map(() => 1 as const)
        const targets = tokens.slice(beginToken === null ? 1 : 0)
        for (const examples of [
          textWindows(tokens, { sequenceLength, beginToken }),
          learntWindows(tokens, learnt, { sequenceLength, beginToken }),
        ]) {
          expect(targetsOf(examples)).toEqual(targets)
          expect(examples.every((one) => one.tokens.length >= 2 && one.tokens.length <= sequenceLength)).toBe(true)
        }
      }),
    )
  })

  it('have every token that is learnt with weight 1, and no window of none', () => {
    const flags = fc.array(fc.constantFrom(0 as const, 1 as const), { maxLength: 200 })
    fc.assert(
      fc.property(flags, lengths, (learnt, sequenceLength) => {
        const tokens = learnt.map((_, index) => index)
        const examples = learntWindows(tokens, learnt, { sequenceLength, beginToken: 999 })
        const found = examples.flatMap(({ tokens: window, targetWeights }) =>
          window.slice(1).filter((_, target) => targetWeights?.[target] !== 0),
        )
        expect(found).toEqual(tokens.filter((token) => learnt[token] === 1))
        expect(examples.every(({ targetWeights }) => targetWeights === undefined || targetWeights.includes(1))).toBe(
          true,
        )
      }),
    )
  })
})

describe('pieces of text', () => {
  it('joined are the text, none longer than allowed, at a paragraph where there is one', () => {
    const texts = fc.array(fc.constantFrom('word', ' ', '\n', '\n\n', '🌻'), { maxLength: 300 })
    fc.assert(
      fc.property(texts, fc.integer({ min: 2, max: 60 }), (parts, maximum) => {
        const text = parts.join('')
        const pieces = cutText(text, maximum)
        expect(pieces.map((piece) => piece.text).join('')).toBe(text)
        expect(pieces.every((piece) => piece.text.length <= maximum && piece.text.isWellFormed())).toBe(true)
        for (const [index, { line }] of pieces.entries()) {
          const before = pieces.slice(0, index).map((piece) => piece.text)
          expect(line).toBe(before.join('').split('\n').length)
        }
      }),
    )
    expect(cutText('one two.\n\nthree four', 14).map(({ text }) => text)).toEqual(['one two.\n\n', 'three four'])
  })
})
