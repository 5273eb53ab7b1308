/** Text that the base writes itself, to be mixed in where nobody has any of the kind it was trained on. */
import type { ModelHandle } from '#core/ports/model-store.ts'
import type { TrainingEngine, TrainingExample } from '#core/ports/training-engine.ts'
import { sequenceLength } from './texts.ts'

/** As many as the product writes at most. */
const texts = 96

/** At temperature 1, each from the begin token. */
export async function writeOwnText(
  engine: TrainingEngine,
  model: ModelHandle,
  threads: number,
): Promise<TrainingExample[]> {
  const { beginToken } = model.manifest.tokenizer
  const trainee = await engine.loadTrainee(model, {
    parameters: [{ kind: 'scale', block: 0, target: 'key' }],
    threads,
  })
  const written = Array.from({ length: texts }, () => [beginToken ?? 0])
  try {
    for (let length = 1; length < sequenceLength; length++) {
      // What is drawn for the last position does not depend on the token that stands after it.
      const examples = written.map((tokens) => ({ tokens: [...tokens, 0] }))
      const drawn = await trainee.sampleTargets(examples, { seed: length })
      for (const [i, tokens] of written.entries()) tokens.push(drawn[i]?.at(-1) ?? 0)
    }
  } finally {
    await trainee.dispose()
  }
  return written.map((tokens) => ({ tokens }))
}
