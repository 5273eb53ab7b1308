/** Sixteen sessions of one base, each with a patch of its own, in one batch (acceptance 5). */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Engine, LoadedPatch, PatchWeights } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { createCompute } from '../../../src-main/workers/create-compute.ts'
import { median, progress } from '../report.ts'
import { benchConfig, benchFolders, openBenchModel } from './bench-model.ts'
import { backend, loadModel, startCompute } from './compute.ts'
import { type DecodingMember, greedy, startDecoding } from './decoding.ts'
import { inTurn, pairedRatio, timed } from './in-turn.ts'
import { merged, randomPatch } from './random-patch.ts'
import { heldOutWindows, openSeedling, seedlingFolder } from './seedling.ts'

const sessions = 16
const density = 0.005
const maxLength = 512
const comparedTokens = 24

export async function measurePatches(repetitions: number): Promise<Record<string, number>> {
  return { ...(await measureOverhead(repetitions)), ...(await comparePatched()) }
}

async function measureOverhead(repetitions: number): Promise<Record<string, number>> {
  await using bench = await openBenchModel('Q8_0')
  await using compute = await startCompute(benchFolders)
  await using loaded = await loadModel(compute.engine, bench.model, { threads: 2, format: 'int8' })
  const plain: DecodingMember[] = Array.from({ length: sessions }, (_, index) => ({ prompt: [300 + index, 7, 8, 9] }))
  const patched: DecodingMember[] = []
  let patchBytes = 0
  for (const [seed, { prompt }] of plain.entries()) {
    const patch = await loaded.runner.loadPatch(randomPatch(benchConfig, { density, size: 1e-3, seed }))
    patchBytes += patch.weightBytes
    patched.push({ prompt, patch })
  }
  using without = await startDecoding(loaded, plain, maxLength)
  using withPatches = await startDecoding(loaded, patched, maxLength)
  const times = await inTurn(
    { without: () => timed(without.step), patched: () => timed(withPatches.step) },
    repetitions,
  )
  return {
    patched16_overhead: pairedRatio('a step with patches by one without', times.patched, times.without) - 1,
    patched16_ms: median(times.patched),
    unpatched16_ms: median(times.without),
    patch_bytes: patchBytes / sessions,
  }
}

/** In this process, because a worker opens only models that are in a store, and the merged ones are in none. */
async function comparePatched(): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), 'quiltbee-bench-patches-'))
  try {
    const models = join(folder, 'none')
    const preparedWeights = { directory: join(folder, 'prepared') }
    const options = { backend, models: { directory: models, embedded: [seedlingFolder] }, preparedWeights, niceness: 0 }
    const { engine } = await createCompute(options)
    const model = await openSeedling(models)
    try {
      return { patched16_equal: Number(await areEqual(engine, model)) }
    } finally {
      await model.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function areEqual(engine: Engine, model: ModelHandle): Promise<boolean> {
  const options = { threads: 1, format: 'float32' } as const
  const { config } = model.manifest
  const patches = Array.from({ length: sessions }, (_, seed) => randomPatch(config, { density, size: 0.3, seed }))
  const prompts = (await heldOutWindows(model, sessions, 16)).map((prompt) => ({ prompt }))
  await using loaded = await loadModel(engine, model, options)
  const inOneBatch = await greedy(loaded, await withPatches(loaded.runner, prompts, patches), comparedTokens)
  const unpatched = await greedy(loaded, prompts, comparedTokens)
  let equal = true
  for (const [index, patch] of patches.entries()) {
    await using alone = await loadModel(engine, merged(model, patch, `patch ${index}`), options)
    const [tokens = []] = await greedy(alone, prompts.slice(index, index + 1), comparedTokens)
    equal &&= tokens.join() === inOneBatch[index]?.join()
  }
  const changed = inOneBatch.filter((tokens, index) => tokens.join() !== unpatched[index]?.join()).length
  progress(`patches changed the text of ${changed} of ${sessions} sessions`)
  return equal
}

async function withPatches(
  runner: { loadPatch(patch: PatchWeights): Promise<LoadedPatch> },
  members: readonly DecodingMember[],
  patches: readonly PatchWeights[],
): Promise<DecodingMember[]> {
  const loaded = await Promise.all(patches.map((patch) => runner.loadPatch(patch)))
  return members.map((member, index) => ({ ...member, ...(loaded[index] && { patch: loaded[index] }) }))
}
