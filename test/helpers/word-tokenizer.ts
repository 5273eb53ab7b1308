/** A tokenizer for tests: each word with the white space before it is a token, numbered as they come up. */
import type { Tokenizer } from '#core/ports/model-store.ts'

export interface WordTokenizerInit {
  readonly beginToken?: number | null
  readonly endTokens?: readonly number[]
}

/** Token 0 begins, 1 ends, when asked for; all text comes back from its tokens. */
export function createWordTokenizer({ beginToken = null, endTokens = [] }: WordTokenizerInit = {}): Tokenizer {
  const words: string[] = ['', '']
  const ids = new Map<string, number>()
  const idOf = (word: string) => {
    const known = ids.get(word)
    if (known !== undefined) return known
    ids.set(word, words.length)
    return words.push(word) - 1
  }
  const decode = (tokens: readonly number[]) => tokens.map((token) => words[token] ?? '').join('')
  return {
    vocabularySize: 1 << 20,
    beginToken,
    endTokens,
    encode: (text) => [...text.matchAll(/\n|[^\S\n]*[^\s]+|[^\S\n]+/g)].map(([word]) => idOf(word)),
    decode,
    decodeStream: () => ({ push: (token) => decode([token]), end: () => '' }),
  }
}
