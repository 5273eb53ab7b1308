/** Three texts begun as held-out ones begin, gone on with by the base and by the patched model, from the same dice. */
import type { Sample } from '#contracts/api/training.ts'
import type { PatchWeights } from '#core/ports/engine.ts'
import type { Tokenizer } from '#core/ports/model-store.ts'
import type { TrainingExample } from '#core/ports/training-engine.ts'
import type { RunExamples } from '#core/training/run-types.ts'
import type { WriteOptions, Writer } from './write-texts.ts'

const sampleCount = 3
const sampleTokens = 60
const promptTokens = 24
const temperature = 0.7

export interface SamplesInit extends Pick<WriteOptions, 'gate' | 'signal'> {
  readonly examples: RunExamples
  readonly tokenizer: Tokenizer
  readonly contextLength: number
  readonly seed: number
  /** What the run stands on, and the patch it made. */
  readonly on: readonly PatchWeights[]
  readonly patch: PatchWeights
}

export async function writeSamples(writer: Writer, init: SamplesInit): Promise<Sample[]> {
  const { tokenizer, seed, on, gate, signal } = init
  const prompts = promptsOf(init.examples, init.contextLength)
  const wishes = prompts.map((prompt, place) => ({ prompt, seed: (seed + place) >>> 0 }))
  const options = { tokens: Math.min(sampleTokens, init.contextLength - promptTokens), temperature, gate, signal }
  const before = await writer.write(wishes, { ...options, patches: on })
  const after = await writer.write(wishes, { ...options, patches: [...on, init.patch] })
  return prompts.map((prompt, place) => ({
    prompt: tokenizer.decode(prompt).trim().slice(0, 2_000),
    before: continued(tokenizer, prompt, before[place] ?? []),
    after: continued(tokenizer, prompt, after[place] ?? []),
  }))
}

/** Held-out text where there is some: what the model has learnt by heart shows nothing. */
function promptsOf(examples: RunExamples, contextLength: number): (readonly number[])[] {
  const chosen = examples.heldOut.length > 0 ? examples.heldOut : examples.train
  return chosen.slice(0, sampleCount).flatMap((item) => {
    const example = 'choices' in item ? item.choices[item.answer] : item
    return example === undefined ? [] : [promptOf(example, Math.min(promptTokens, Math.floor(contextLength / 2)))]
  })
}

/** All that is not learnt of an example that begins so (a question, say), else its first tokens; never all of it. */
function promptOf({ tokens, targetWeights }: TrainingExample, most: number): readonly number[] {
  const learntFrom = targetWeights?.findIndex((weight) => weight !== 0) ?? 0
  if (learntFrom > 0) return tokens.slice(Math.max(0, learntFrom + 1 - most), learntFrom + 1)
  return tokens.slice(0, Math.max(1, Math.min(most, Math.floor(tokens.length / 2))))
}

/** The text after the prompt's: tokens decide together where spaces are. */
function continued(tokenizer: Tokenizer, prompt: readonly number[], tokens: readonly number[]): string {
  const stream = tokenizer.decodeStream()
  for (const token of prompt) stream.push(token)
  return (tokens.map((token) => stream.push(token)).join('') + stream.end()).slice(0, 4_000)
}
