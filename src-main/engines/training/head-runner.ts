/** Runs final norm, head and loss over the positions that have a target, some of them at a time. */
import { Tensor } from 'onnxruntime-node'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { entryFeeds, floats, pickEntries } from './block-parameters.ts'
import { addToRows, lookUpRows } from './embedding.ts'
import type { Value } from './graph.ts'
import { buildHeadGraph } from './head-graph.ts'
import type { ModelWeights } from './model-weights.ts'
import type { EndParameter } from './parameters.ts'
import { createPrograms, type Feeds, freeFloats } from './program.ts'
import type { Run } from './runs.ts'

/** Logits at a time: 32 MiB as float32. */
const logitsPerChunk = 1 << 23

export interface HeadResult {
  readonly lossSum: number
  /** (positions of the run, hidden), zero where nothing is predicted; absent unless wanted. */
  readonly inputGradient?: Float32Array
}

export interface HeadRunner {
  loss(run: Run, hidden: Float32Array, signal: AbortSignal): Promise<HeadResult>
  /** Hands the gradient of each of its parameters to `collect`, by its place among them, once a chunk. */
  backward(
    run: Run,
    hidden: Float32Array,
    wants: { readonly input: boolean; readonly collect: (parameter: number, values: Float32Array) => void },
    signal: AbortSignal,
  ): Promise<HeadResult>
  /** Hands over a row's log-probabilities (vocabulary,) for each position that predicts, by its place among them. */
  distributions(
    run: Run,
    hidden: Float32Array,
    take: (place: number, logProbabilities: Float32Array) => void,
    signal: AbortSignal,
  ): Promise<void>
  /** (positions that predict,): log p(target) */
  logProbabilities(run: Run, hidden: Float32Array, signal: AbortSignal): Promise<Float32Array>
  dispose(): Promise<void>
}

/** `parameters`: those of the ends; the embedding's concern the head when it is tied. */
export function createHeadRunner(
  config: ModelConfig,
  weights: ModelWeights,
  parameters: readonly EndParameter[],
  { threads }: { readonly threads: number },
): HeadRunner {
  const headName = config.tiedHead ? tensorNames.embedding : tensorNames.head
  const head = parameters.findIndex(({ name }) => name === headName)
  const finalNorm = parameters.findIndex(({ name }) => name === tensorNames.finalNorm)
  const mask = parameters[head]?.indices
  const graph = buildHeadGraph(config, { masked: mask !== undefined })
  const programs = createPrograms(threads)
  const own: Feeds = {
    finalNorm: new Tensor('float32', weights.tensor(tensorNames.finalNorm), [config.hiddenSize]),
    head: new Tensor('float32', weights.tensor(headName), [config.vocabularySize, config.hiddenSize]),
    ...(mask && entryFeeds('head', mask, config.hiddenSize)),
  }

  /** Positions that predict, chunk by chunk. */
  async function* chunks(run: Run, hidden: Float32Array, wanted: readonly Value[], signal: AbortSignal) {
    const program = await programs.get(wanted.join(), () => ({ graph: graph.graph, wanted }))
    const size = Math.max(64, Math.floor(logitsPerChunk / config.vocabularySize))
    for (let start = 0; start < run.positions.length; start += size) {
      signal.throwIfAborted()
      const positions = run.positions.subarray(start, start + size)
      const rows = (values: Float32Array | BigInt64Array) => values.subarray(start, start + positions.length)
      const results = await program.run({
        ...own,
        x: new Tensor('float32', lookUpRows(hidden, positions, config.hiddenSize), [
          positions.length,
          config.hiddenSize,
        ]),
        targets: new Tensor('int64', rows(run.targets) as BigInt64Array, [positions.length, 1]),
        targetWeights: new Tensor('float32', rows(run.targetWeights) as Float32Array, [positions.length, 1]),
      })
      yield { start, positions, at: (value: Value) => floats(results[value]) }
    }
  }

  return {
    async loss(run, hidden, signal) {
      let lossSum = 0
      for await (const { at } of chunks(run, hidden, [graph.losses], signal)) lossSum += sum(at(graph.losses))
      return { lossSum }
    },
    async backward(run, hidden, { input, collect }, signal) {
      const inputGradient = new Float32Array(input ? hidden.length : 0)
      const wanted = [
        graph.losses,
        ...(input ? [graph.inputGradient] : []),
        ...(head >= 0 ? [graph.headGradient] : []),
        ...(finalNorm >= 0 ? [graph.finalNormGradient] : []),
      ]
      let lossSum = 0
      for await (const { positions, at } of chunks(run, hidden, wanted, signal)) {
        lossSum += sum(at(graph.losses))
        if (input) addToRows(inputGradient, positions, at(graph.inputGradient), config.hiddenSize)
        if (head >= 0) collect(head, at(graph.headGradient).subarray(0, mask?.length))
        if (finalNorm >= 0) collect(finalNorm, entriesOf(at(graph.finalNormGradient), parameters[finalNorm]))
      }
      return { lossSum, ...(input && { inputGradient }) }
    },
    async distributions(run, hidden, take, signal) {
      const { vocabularySize } = config
      for await (const { start, positions, at } of chunks(run, hidden, [graph.logProbabilities], signal)) {
        const rows = at(graph.logProbabilities)
        for (const i of positions.keys()) take(start + i, rows.subarray(i * vocabularySize, (i + 1) * vocabularySize))
        freeFloats(rows)
      }
    },
    async logProbabilities(run, hidden, signal) {
      const all = new Float32Array(run.positions.length)
      const value = graph.targetLogProbabilities
      for await (const { start, at } of chunks(run, hidden, [value], signal)) all.set(at(value), start)
      return all
    },
    dispose: programs.dispose,
  }
}

function entriesOf(values: Float32Array, parameter: EndParameter | undefined): Float32Array {
  return parameter?.indices ? pickEntries(values, parameter.indices) : values
}

/** In float64. */
function sum(values: Float32Array): number {
  return values.reduce((total, value) => total + value, 0)
}
