/**
 * How byte-level tokenizers cut text into words before they merge: `tokenizer.ggml.pre` names a list of patterns, each
 * applied to what the ones before left. The patterns are those of the models' own `tokenizer.json`, or of llama.cpp where
 * a model has no file of its own (`default`).
 */
import { ModelUnsupportedError } from '#core/errors.ts'

interface Splits {
  readonly patterns: readonly string[]
  /** A word that is a piece is taken whole, whatever the merges would make of it. */
  readonly ignoreMerges?: true
  /** Texts begin with the begin token unless the file says otherwise. */
  readonly beginsTexts?: true
}

const contractions = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
const spaces = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/** Words of letters, runs of at most so many digits, runs of signs. */
function words(digits: string): string {
  return `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`
}

const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
const before = '[^\\r\\n\\p{L}\\p{N}]?'

const llama3: Splits = { patterns: [words('\\p{N}{1,3}')], ignoreMerges: true, beginsTexts: true }
const qwen2: Splits = { patterns: [words('\\p{N}')] }
const tekken: Splits = {
  patterns: [
    `${before}${upper}*${lower}+|${before}${upper}+${lower}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`,
  ],
  ignoreMerges: true,
  beginsTexts: true,
}

const known: ReadonlyMap<string, Splits> = new Map([
  ['default', { patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2, '\\p{N}+', '[0-9][0-9][0-9]'] }],
  ['gpt-2', { patterns: [gpt2] }],
  ['llama-bpe', llama3],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', qwen2],
  ['smollm', { patterns: ['\\p{N}', gpt2] }],
  ['tekken', tekken],
])

/** Throws `ModelUnsupportedError` for a name that is not known: another cut would be another model. */
export function ggufSplits(pre: string): Splits {
  const splits = known.get(pre)
  if (splits === undefined) throw new ModelUnsupportedError(`tokenizer.ggml.pre ${pre.slice(0, 64)}`)
  return splits
}

export function beginsTexts(pre: string): boolean {
  return ggufSplits(pre).beginsTexts === true
}
