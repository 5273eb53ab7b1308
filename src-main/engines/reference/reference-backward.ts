/** Gradients through a span: forward again, keeping every block's trace, then back block by block. */
import { setImmediate } from 'node:timers/promises'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import {
  type BlockGradients,
  blockBackward,
  entriesGradient,
  type MatrixRole,
  tensorGradient,
} from '#core/numerics/block-backward.ts'
import { type BlockTrace, traceBlock } from '#core/numerics/block-backward-trace.ts'
import type { Floats } from '#core/numerics/floats.ts'
import { createKeyValueCache, type KeyValueCache } from '#core/numerics/key-value-cache.ts'
import type { BackwardRequest, BackwardResult, TrainedParameter } from '#core/ports/engine.ts'
import type { CheckedBackward } from '../shared/check-backward.ts'
import { locateTensor } from '../shared/patch-target.ts'
import type { PatchedBlock } from './patched-weights.ts'
import { cacheOf, type ReferenceState } from './reference-session.ts'

export interface BackwardWork {
  readonly request: BackwardRequest
  readonly checked: CheckedBackward<ReferenceState>
  /** Of the request's span, with its patches. */
  readonly blocks: readonly PatchedBlock[]
  readonly config: ModelConfig
}

export async function spanBackward(work: BackwardWork, signal: AbortSignal | undefined): Promise<BackwardResult> {
  const { request, checked, blocks, config } = work
  const { parameters = [] } = request
  const traces = await traceSpan(work, signal)
  const wanted = parameters.map((parameter) => blockOf(parameter, config) - checked.span.start)
  const parameterGradients = parameters.map(() => new Float32Array())
  let gradient: Floats = request.outputGradient
  for (let i = blocks.length - 1; i >= 0; i--) {
    await yieldTurn(signal)
    const block = blockBackward(gradient, traces[i] as BlockTrace, blocks[i] as PatchedBlock, config)
    for (const [p, parameter] of parameters.entries()) {
      if (wanted[p] === i) parameterGradients[p] = Float32Array.from(parameterGradient(block, parameter, config))
    }
    gradient = block.input
  }
  return { inputGradient: Float32Array.from(gradient), parameterGradients }
}

async function traceSpan({ request, checked, blocks, config }: BackwardWork, signal: AbortSignal | undefined) {
  const traces: BlockTrace[] = []
  let x: Floats = request.hidden
  for (const [i, block] of blocks.entries()) {
    await yieldTurn(signal)
    const trace = traceBlock(x, block, pastOf(checked, i), config)
    traces.push(trace)
    x = trace.output
  }
  return traces
}

function pastOf({ after, position }: CheckedBackward<ReferenceState>, block: number): KeyValueCache {
  return after ? { ...cacheOf(after, block), length: position } : createKeyValueCache()
}

function blockOf(parameter: TrainedParameter, config: ModelConfig): number {
  if (parameter.kind === 'scale') return parameter.block
  const target = locateTensor(config, parameter.name)
  return target.kind === 'block' ? target.block : -1
}

function parameterGradient(gradients: BlockGradients, parameter: TrainedParameter, config: ModelConfig): Float64Array {
  if (parameter.kind === 'scale') return gradients.scales[parameter.target]
  const { role } = locateTensor(config, parameter.name) as { role: MatrixRole }
  if (parameter.kind === 'entries') return entriesGradient(gradients, role, parameter.indices)
  return tensorGradient(gradients, role) ?? new Float64Array()
}

/** Gives other work a turn, then sees whether this is still wanted. */
export async function yieldTurn(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate()
  signal?.throwIfAborted()
}
