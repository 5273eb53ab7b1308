/** The `Tokenizer` port over a GGUF file's vocabulary, of either kind. Both give llama.cpp's tokens. */
import type { Tokenizer } from '#core/ports/model-store.ts'
import { parseGgufVocabulary } from './tokenizer-gguf-format.ts'
import { createMergedTokenizer } from './tokenizer-gguf-merged.ts'
import { createScoredTokenizer } from './tokenizer-gguf-scored.ts'
import type { TokenizerInit } from './tokenizer-huggingface.ts'

/** Parses and checks what `encodeGgufVocabulary` wrote. Throws `TokenizerFormatError` or `ModelUnsupportedError`. */
export function createGgufTokenizer(bytes: Uint8Array, init: TokenizerInit): Tokenizer {
  const vocabulary = parseGgufVocabulary(bytes, init.vocabularySize)
  return vocabulary.model === 'llama'
    ? createScoredTokenizer(vocabulary, init)
    : createMergedTokenizer(vocabulary, init)
}
