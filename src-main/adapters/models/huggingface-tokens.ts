/**
 * Which tokens begin and end a text, where `config.json` does not have the last word: `generation_config.json` may name
 * more ends (a chat model ends a turn and a document with different tokens), and `tokenizer_config.json` may say that no
 * begin token is put before a text although the model has one (Qwen).
 */
import * as z from 'zod'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { ModelFormatError } from '#core/errors.ts'
import { endTokenSchema, expectInVocabulary, parseFile } from './huggingface-config.ts'

export const generationConfigFile = 'generation_config.json'
export const tokenizerConfigFile = 'tokenizer_config.json'
const maximumEndTokens = 16

const generationSchema = z.looseObject({ eos_token_id: endTokenSchema })
const tokenizerSchema = z.looseObject({ add_bos_token: z.boolean().nullish(), bos_token: z.unknown().optional() })

/** Pure: the end tokens of both files, each once. Throws `ModelFormatError`. */
export function withGenerationEnds(endTokens: readonly number[], bytes: Uint8Array, config: ModelConfig): number[] {
  const { eos_token_id: said } = parseFile(generationConfigFile, generationSchema, bytes)
  const more = [said ?? []].flat()
  expectInVocabulary(generationConfigFile, more, config)
  const all = [...new Set([...endTokens, ...more])]
  if (all.length > maximumEndTokens) {
    throw new ModelFormatError(generationConfigFile, `${all.length} end tokens, at most ${maximumEndTokens} are kept`)
  }
  return all
}

/** Pure: whether the tokenizer puts a begin token before a text. Throws `ModelFormatError`. */
export function addsBeginToken(bytes: Uint8Array): boolean {
  const file = parseFile(tokenizerConfigFile, tokenizerSchema, bytes)
  return file.add_bos_token !== false && file.bos_token !== null
}
