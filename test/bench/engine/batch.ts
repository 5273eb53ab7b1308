/** Eight sessions that decode together beside one alone (acceptance 3). */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { median, progress } from '../report.ts'
import { benchConfig, benchFolders, openBenchModel } from './bench-model.ts'
import { type LoadedModel, loadModel, startCompute } from './compute.ts'
import { type DecodingMember, greedy, startDecoding } from './decoding.ts'
import { inTurn, pairedRatio, timed } from './in-turn.ts'
import { heldOutWindows, openSeedling, seedlingFolder } from './seedling.ts'

const sessions = 8
const comparedTokens = 16
const maxLength = 512
const options = { threads: 2, format: 'int8' } as const

export async function measureBatch(repetitions: number): Promise<Record<string, number>> {
  return { ...(await measureRate(repetitions)), ...(await compareOnText()) }
}

async function measureRate(repetitions: number): Promise<Record<string, number>> {
  await using bench = await openBenchModel('Q8_0')
  await using compute = await startCompute(benchFolders)
  await using loaded = await loadModel(compute.engine, bench.model, options)
  const members = Array.from({ length: sessions }, (_, index) => ({ prompt: promptOf(index) }))
  using together = await startDecoding(loaded, members, maxLength)
  using alone = await startDecoding(loaded, members.slice(0, 1), maxLength)
  const times = await inTurn({ together: () => timed(together.step), alone: () => timed(alone.step) }, repetitions)
  const stepRatio = pairedRatio('a step of one session by one of eight', times.alone, times.together)
  const equal = await countEqual(loaded, members)
  return {
    batch8_ratio: sessions * stepRatio,
    batch8_tokens_per_s: (1000 * sessions) / median(times.together),
    batch1_tokens_per_s: 1000 / median(times.alone),
    batch8_equal_sessions: equal,
    batch8_equal: Number(equal === sessions),
  }
}

/**
 * The same on a model that has learnt something: next tokens of a random one are decided by differences smaller than what
 * rounding activations to 8 bits makes of a sum's last bit.
 */
async function compareOnText(): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), 'quiltbee-bench-batch-'))
  try {
    const models = join(folder, 'none')
    await using parts = new AsyncDisposableStack()
    const model = parts.adopt(await openSeedling(models), (opened) => opened.close())
    const folders = { models, embedded: [seedlingFolder], prepared: join(folder, 'prepared') }
    const { engine } = parts.use(await startCompute(folders))
    const loaded = parts.use(await loadModel(engine, model, options))
    const members = (await heldOutWindows(model, sessions, 16)).map((prompt) => ({ prompt }))
    const equal = await countEqual(loaded, members)
    return { batch8_text_equal_sessions: equal }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** How many sessions choose in the batch what they choose alone. */
async function countEqual(loaded: LoadedModel, members: readonly DecodingMember[]): Promise<number> {
  const together = await greedy(loaded, members, comparedTokens)
  let equal = 0
  for (const [index, member] of members.entries()) {
    const [alone = []] = await greedy(loaded, [member], comparedTokens)
    const differs = alone.findIndex((token, at) => token !== together[index]?.[at])
    if (differs === -1) equal++
    else progress(`session ${index} of the batch differs from token ${differs} on`)
  }
  return equal
}

/** Of different lengths, so that no two sessions are at one position. */
function promptOf(index: number): number[] {
  return Array.from(
    { length: 4 + index },
    (_, at) => 300 + ((1 + index * 31 + at * 7919) % (benchConfig.vocabularySize - 300)),
  )
}
