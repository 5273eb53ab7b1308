/** Decode, prefill, memory and loading beside llama.cpp, on the same file with the same threads, in turn (acceptance 1). */
import { rm } from 'node:fs/promises'
import type { WeightFormat } from '#core/ports/engine.ts'
import { median, progress } from '../report.ts'
import { measureReadBandwidth } from './bandwidth.ts'
import { type BenchModel, benchConfig, benchFolders, openBenchModel } from './bench-model.ts'
import { type LoadedModel, loadModel, startCompute, type WorkerMemory } from './compute.ts'
import { startDecoding } from './decoding.ts'
import { inTurn, pairedRatio, timed } from './in-turn.ts'
import { type Llama, startLlama } from './llama.ts'

type Figures = Record<string, number>
type Quantised = Extract<WeightFormat, 'int8' | 'int4'>

/** Tokens of one turn: long enough that what another left behind in caches does not count. */
const sliceTokens = 8
const prompt = [300, 301, 302, 303]
const contextLength = 1024

export async function measureSpeed(repetitions: number): Promise<Figures> {
  const figures: Figures = {
    read_t1_gb_s: await measureReadBandwidth(1),
    read_gb_s: await measureReadBandwidth(2),
  }
  progress(`memory reads: ${figures['read_t1_gb_s']?.toFixed(1)} and ${figures['read_gb_s']?.toFixed(1)} GB/s`)
  await rm(benchFolders.prepared, { recursive: true, force: true })
  for (const format of ['int8', 'int4'] as const) {
    await using bench = await openBenchModel(format === 'int8' ? 'Q8_0' : 'Q4_0')
    Object.assign(figures, await measureFirstLoad(bench, format))
    Object.assign(figures, await measureThreads(bench, format, 1, repetitions))
    Object.assign(figures, await measureThreads(bench, format, 2, repetitions))
  }
  return figures
}

/** The names of int8's memory and loading are the plain ones. */
function named(name: string, format: Quantised): string {
  return format === 'int8' ? name : `${name}_${format}`
}

/** With nothing prepared: reads what was imported, quantises it, and writes it as files. */
async function measureFirstLoad({ model }: BenchModel, format: Quantised): Promise<Figures> {
  await using compute = await startCompute(benchFolders)
  const before = await compute.memory()
  const ms = await timed(async () => {
    await using _loaded = await loadModel(compute.engine, model, { threads: 2, format })
  })
  const { peakBytes } = await compute.memory()
  const peak = peakBytes === null ? {} : { [named('first_load_peak_gb', format)]: grown(before, peakBytes) / 1e9 }
  return { [named('first_load_s', format)]: ms / 1000, ...peak }
}

async function measureThreads(
  bench: BenchModel,
  format: Quantised,
  threads: 1 | 2,
  repetitions: number,
): Promise<Figures> {
  await using compute = await startCompute(benchFolders)
  const before = await compute.memory()
  const startMs = performance.now()
  await using loaded = await loadModel(compute.engine, bench.model, { threads, format })
  const loadMs = performance.now() - startMs
  const afterLoad = await compute.memory()
  await using llama = await startLlama(bench.ggufPath, { threads, contextLength })
  const figures = await measureDecode(loaded, llama, `${format}_t${threads}`, repetitions)
  Object.assign(figures, await measurePrefill(loaded, llama, 128, `${format}_t${threads}`, repetitions))
  if (threads === 1) return figures
  Object.assign(figures, decodeBandwidth(bench, loaded, figures, format))
  Object.assign(figures, await measurePrefill(loaded, llama, 512, `${format}_t${threads}`, repetitions))
  const { residentBytes } = await llama.ask({ kind: 'rest' })
  return {
    ...figures,
    ...memoryFigures({ bench, format, before, afterLoad, afterRuns: await compute.memory() }),
    [named('llama_rss_over_weights', format)]: (residentBytes - llama.initialBytes) / bench.tensorBytes,
    [named('load_s', format)]: loadMs / 1000,
    [named('llama_load_s', format)]: llama.loadMs / 1000,
  }
}

async function measureDecode(loaded: LoadedModel, llama: Llama, which: string, repetitions: number): Promise<Figures> {
  using ours = await startDecoding(loaded, [{ prompt }], contextLength)
  await llama.ask({ kind: 'begin', tokens: prompt })
  const times = await inTurn(
    {
      ours: async () => (await timed(() => slice(ours.step))) / sliceTokens,
      theirs: async () => (await llama.ask({ kind: 'decode', count: sliceTokens })).ms / sliceTokens,
    },
    repetitions,
  )
  return {
    [`decode_${which}_ratio`]: pairedRatio(`decode ${which}, llama.cpp by ours`, times.theirs, times.ours),
    [`decode_${which}_ms`]: median(times.ours),
    [`llama_decode_${which}_ms`]: median(times.theirs),
  }
}

async function slice(step: () => Promise<void>): Promise<void> {
  for (let i = 0; i < sliceTokens; i++) await step()
}

/** All of the tokens in one call, through the blocks only. */
async function measurePrefill(
  { runner, ends }: LoadedModel,
  llama: Llama,
  count: number,
  which: string,
  repetitions: number,
): Promise<Figures> {
  const tokens = randomTokens(count)
  const hidden = await ends.embed(tokens)
  const times = await inTurn(
    {
      async ours() {
        const session = runner.openSession({ maxLength: count })
        const ms = await timed(() => session.forward(hidden))
        session.dispose()
        return ms
      },
      theirs: async () => (await llama.ask({ kind: 'prefill', tokens })).ms,
    },
    repetitions,
  )
  const name = `prefill${count}_${which}`
  return {
    [`${name}_ratio`]: pairedRatio(`${name}, llama.cpp by ours`, times.theirs, times.ours),
    [`${name}_ms`]: median(times.ours),
    [`llama_${name}_ms`]: median(times.theirs),
  }
}

function randomTokens(count: number): number[] {
  return Array.from({ length: count }, (_, index) => 300 + ((index * 7919) % (benchConfig.vocabularySize - 300)))
}

/** Bytes of weights that one token needs by the time of one token, each side by what it holds. */
function decodeBandwidth(bench: BenchModel, loaded: LoadedModel, figures: Figures, format: Quantised): Figures {
  const theirBytes = bench.tensorBytes - bench.embeddingBytes
  const ourBytes = loaded.runner.weightBytes + loaded.ends.weightBytes - bench.embeddingBytes
  const rate = (bytes: number, ms = Number.NaN) => bytes / 1e6 / ms
  return {
    [named('decode_gb_s', format)]: rate(ourBytes, figures[`decode_${format}_t2_ms`]),
    [named('llama_decode_gb_s', format)]: rate(theirBytes, figures[`llama_decode_${format}_t2_ms`]),
  }
}

interface MemoryReadings {
  readonly bench: BenchModel
  readonly format: Quantised
  readonly before: WorkerMemory
  readonly afterLoad: WorkerMemory
  readonly afterRuns: WorkerMemory
}

function memoryFigures({ bench, format, before, afterLoad, afterRuns }: MemoryReadings): Figures {
  const { peakBytes } = afterLoad
  const peak = peakBytes === null ? null : grown(before, peakBytes) / grown(before, afterLoad.residentBytes)
  const figures = {
    [named('rss_over_weights', format)]: grown(before, afterRuns.residentBytes) / bench.tensorBytes,
    [named('rss_after_load_over_weights', format)]: grown(before, afterLoad.residentBytes) / bench.tensorBytes,
    ...(peak === null ? {} : { [named('load_peak_over_resident', format)]: peak }),
  }
  for (const [name, value] of Object.entries(figures)) progress(`${name}: ${value.toFixed(3)}`)
  return figures
}

function grown(before: WorkerMemory, bytes: number): number {
  return bytes - before.residentBytes
}
