/** Eight sessions that decode together beside one alone (acceptance 3). */
import { median } from '../report.ts'
import { benchConfig, benchFolders, openBenchModel } from './bench-model.ts'
import { type LoadedModel, loadModel, startCompute } from './compute.ts'
import { type DecodingMember, greedy, startDecoding } from './decoding.ts'
import { inTurn, pairedRatio, timed } from './in-turn.ts'

const sessions = 8
const comparedTokens = 16
const maxLength = 512

export async function measureBatch(repetitions: number): Promise<Record<string, number>> {
  await using bench = await openBenchModel('Q8_0')
  await using compute = await startCompute(benchFolders)
  await using loaded = await loadModel(compute.engine, bench.model, { threads: 2, format: 'int8' })
  const members = Array.from({ length: sessions }, (_, index) => ({ prompt: promptOf(index) }))
  using together = await startDecoding(loaded, members, maxLength)
  using alone = await startDecoding(loaded, members.slice(0, 1), maxLength)
  const times = await inTurn(
    { together: () => timed(together.step), alone: () => timed(alone.step) },
    repetitions,
  )
  const stepRatio = pairedRatio('a step of one session by one of eight', times.alone, times.together)
  return {
    batch8_ratio: sessions * stepRatio,
    batch8_tokens_per_s: (1000 * sessions) / median(times.together),
    batch1_tokens_per_s: 1000 / median(times.alone),
    batch8_equal: Number(await areEqual(loaded, members)),
  }
}

async function areEqual(loaded: LoadedModel, members: readonly DecodingMember[]): Promise<boolean> {
  const together = await greedy(loaded, members, comparedTokens)
  for (const [index, member] of members.entries()) {
    const [alone = []] = await greedy(loaded, [member], comparedTokens)
    if (alone.join() !== together[index]?.join()) return false
  }
  return true
}

/** Of different lengths, so that no two sessions are at one position. */
function promptOf(index: number): number[] {
  return Array.from({ length: 4 + index }, (_, at) => 300 + ((1 + index * 31 + at * 7919) % (benchConfig.vocabularySize - 300)))
}
