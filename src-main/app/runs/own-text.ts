/**
 * Text that the base writes by itself: a sample of what it can do, to measure whether training makes it forget, and to mix
 * into training so that it does not. Written once a run and kept in the run's folder, so that a run that goes on measures
 * and mixes with the same text.
 */
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import type { RunPlan } from '#contracts/api/training.ts'
import type { PatchWeights } from '#core/ports/engine.ts'
import type { Tokenizer } from '#core/ports/model-store.ts'
import type { TrainingExample } from '#core/ports/training-engine.ts'
import { namingStorage } from '#core/storage-errors.ts'
import type { WriteOptions, Writer } from './write-texts.ts'

export interface OwnText {
  readonly train: readonly TrainingExample[]
  readonly heldOut: readonly TrainingExample[]
}

export interface OwnTextInit extends Pick<WriteOptions, 'gate' | 'signal' | 'onProgress'> {
  readonly plan: RunPlan
  readonly tokenizer: Tokenizer
  readonly on: readonly PatchWeights[]
}

const heldOutTexts = 16
/** More would repeat itself less, and take longer to write than it saves of the base. */
const maximumTrainTexts = 96
const textTokens = 128

const tokenLists = z.array(z.array(z.int().min(0)).min(2)).max(maximumTrainTexts)
const keptSchema = z.strictObject({ train: tokenLists, heldOut: tokenLists })

/** As it was kept in `directory`, else written now. `writer` is asked for a model only when there is something to write. */
export async function ownText(writer: () => Promise<Writer>, directory: string, init: OwnTextInit): Promise<OwnText> {
  const file = join(directory, 'own-text.json')
  const kept = await readKept(file)
  if (kept !== null) return kept
  const { train, heldOut } = await writeOwnText(await writer(), init)
  const content = JSON.stringify({ train: train.map(tokensOf), heldOut: heldOut.map(tokensOf) })
  await namingStorage(file, () => replaceFile(file, content))
  return { train, heldOut }
}

async function writeOwnText(writer: Writer, init: OwnTextInit): Promise<OwnText> {
  const { plan, tokenizer, on, gate, signal, onProgress } = init
  const { seed, sequenceLength } = plan.hyperParameters
  const begin = tokenizer.beginToken ?? tokenizer.endTokens[0] ?? 0
  const count = heldOutTexts + trainTexts(plan)
  const wishes = Array.from({ length: count }, (_, place) => ({ prompt: [begin], seed: seedOf(seed, place) }))
  const tokens = Math.min(textTokens, sequenceLength - 1)
  const options = { tokens, temperature: 1, patches: on, gate, signal, ...(onProgress && { onProgress }) }
  const texts = (await writer.write(wishes, options)).map((written) => ({ tokens: [begin, ...written] }))
  return { heldOut: texts.slice(0, heldOutTexts), train: texts.slice(heldOutTexts) }
}

/** As many as training takes from them, up to a bound; none unless the plan mixes own text in. */
function trainTexts({ request, hyperParameters }: RunPlan): number {
  if (request.protection.kind !== 'own-text') return 0
  const { steps, batchSize, protectedShare } = hyperParameters
  return Math.min(maximumTrainTexts, Math.max(1, Math.ceil(steps * batchSize * protectedShare)))
}

/** Texts differ, and differ from the samples shown at the end. */
function seedOf(seed: number, place: number): number {
  return (Math.imul(seed ^ 0x51_7e_a9, 0x9e3779b1) + place) >>> 0
}

function tokensOf({ tokens }: TrainingExample): readonly number[] {
  return tokens
}

/** Null when there is none, or none that can be used: it is written again then. */
async function readKept(file: string): Promise<OwnText | null> {
  const text = await readFile(file, 'utf8').catch(() => null)
  if (text === null) return null
  try {
    const { train, heldOut } = keptSchema.parse(JSON.parse(text))
    return { train: train.map((tokens) => ({ tokens })), heldOut: heldOut.map((tokens) => ({ tokens })) }
  } catch {
    return null
  }
}

/** A crash leaves the whole text or none. */
async function replaceFile(file: string, content: string): Promise<void> {
  const handle = await open(`${file}.partial`, 'w', 0o600)
  try {
    await handle.writeFile(content)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(`${file}.partial`, file)
}
