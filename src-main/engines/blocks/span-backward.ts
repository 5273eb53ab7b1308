/**
 * Gradients through a runner's blocks: the forward pass again, keeping each block's input, then backward block by block.
 * Weights become floats one block at a time, so a span costs the memory of its largest block beside what it holds anyway.
 */
import type { BlockTensorRole, ModelConfig } from '#contracts/model/manifest.ts'
import { type Span, spanLength } from '#contracts/span.ts'
import { type ByBlockTensor, blockShapes } from '#core/numerics/block.ts'
import type { BackwardResult, ScaleTarget, TrainedParameter } from '#core/ports/engine.ts'
import { addPackedDelta, type PackedDelta } from '../kernels/sparse-delta.ts'
import type { Workspace } from '../kernels/workspace.ts'
import type { BlockProduct } from '../shared/linear-backend.ts'
import { addFactors } from '../shared/low-rank.ts'
import { locateTensor } from '../shared/patch-target.ts'
import { productRoles } from '../shared/product-tensors.ts'
import { type BlockContext, createBlockBackward } from '../training/block-backward.ts'
import type { BlockParameter } from '../training/block-parameters.ts'
import type { Block } from './block-forward.ts'
import { vectorRoles } from './block-vectors.ts'
import type { BlockChanges, SessionPatches } from './loaded-patch.ts'

export interface SpanBackwardRequest {
  readonly span: Span
  readonly tokens: number
  /** Of the first token. */
  readonly position: number
  readonly hidden: Float32Array
  readonly outputGradient: Float32Array
  readonly parameters: readonly TrainedParameter[]
  readonly patches: SessionPatches | null
  /** Keys and values at [0, position), in the form of `SpanSession.exportCache`. */
  readonly past: Float32Array | undefined
}

export interface SpanBackward {
  run(request: SpanBackwardRequest, signal: AbortSignal | undefined): Promise<BackwardResult>
  dispose(): Promise<void>
}

export interface SpanBackwardInit {
  readonly config: ModelConfig
  readonly workspace: Workspace
  /** Those of the runner, in order. */
  readonly blocks: readonly Block[]
  readonly threads: number
}

type BlockFloats = ByBlockTensor<Float32Array>

export function createSpanBackward({ config, workspace, blocks, threads }: SpanBackwardInit): SpanBackward {
  // Most runners never go backward.
  let made: ReturnType<typeof createBlockBackward> | undefined
  function backward() {
    made ??= createBlockBackward(config, { threads })
    return made
  }

  /** The block's weights as float32, with what the patches change. */
  async function floatsOf(block: Block, changes: BlockChanges | undefined, signal: AbortSignal | undefined) {
    const weights: Partial<Record<BlockTensorRole, Float32Array>> = {}
    for (const [name, roles] of Object.entries(productRoles)) {
      const product = name as BlockProduct
      const whole = await block.products.floats(product, signal && { signal })
      const width = blockShapes(config)[roles[0] as 'query'][1] as number
      for (const { delta, offset } of changes?.deltas[product] ?? []) {
        addPackedDelta(workspace, delta, whole.subarray(offset * width))
      }
      for (const { left, right, rank, offset } of changes?.factors[product] ?? []) {
        const [dense, rows] = [{ rank, left: unpack(left), right: unpack(right) }, left.rows]
        addFactors(whole.subarray(offset * width, (offset + rows) * width), dense)
      }
      splitRoles(whole, roles, weights)
    }
    for (const role of vectorRoles) {
      const own = block.vectors[role]
      if (own) weights[role] = workspace.floats(changes?.vectors[role] ?? own.pointer, own.length).slice()
    }
    return weights as BlockFloats
  }

  function unpack(packed: PackedDelta): Float32Array {
    const dense = new Float32Array(packed.rows * packed.columns)
    addPackedDelta(workspace, packed, dense)
    return dense
  }

  function splitRoles(
    whole: Float32Array,
    roles: readonly BlockTensorRole[],
    into: Record<string, Float32Array>,
  ): void {
    let start = 0
    for (const role of roles) {
      const size = (blockShapes(config)[role] ?? []).reduce((product, dimension) => product * dimension, 1)
      into[role] = whole.subarray(start, start + size)
      start += size
    }
  }

  function contextOf(request: SpanBackwardRequest, index: number, changes: BlockChanges | undefined): BlockContext {
    const past = pastOf(request, index)
    return { scales: scalesOf(changes), ...(past && { past }) }
  }

  function scalesOf(changes: BlockChanges | undefined): Partial<Record<ScaleTarget, Float32Array>> {
    const scales: Partial<Record<ScaleTarget, Float32Array>> = {}
    for (const [key, pointer] of Object.entries(changes?.scales ?? {})) {
      const target = key as ScaleTarget
      const length = target === 'feedForward' ? config.intermediateSize : config.kvHeadCount * config.headSize
      scales[target] = workspace.floats(pointer, length).slice()
    }
    return scales
  }

  function pastOf({ past, position, span }: SpanBackwardRequest, index: number): BlockContext['past'] {
    if (!past || position === 0) return undefined
    const size = position * config.kvHeadCount * config.headSize
    const start = (index - span.start) * 2 * size
    return {
      length: position,
      keys: past.subarray(start, start + size),
      values: past.subarray(start + size, start + 2 * size),
    }
  }

  /** This block's parameters in its own words, and their places in the request. */
  function wantedOf({ parameters }: SpanBackwardRequest, index: number) {
    const wanted: BlockParameter[] = []
    const places: number[] = []
    for (const [place, parameter] of parameters.entries()) {
      const own = parameterOf(parameter, index)
      if (!own) continue
      wanted.push(own)
      places.push(place)
    }
    return { wanted, places }
  }

  function parameterOf(parameter: TrainedParameter, index: number): BlockParameter | undefined {
    if (parameter.kind === 'scale') {
      return parameter.block === index ? { kind: 'scale', target: parameter.target } : undefined
    }
    const target = locateTensor(config, parameter.name)
    if (target.kind !== 'block' || target.block !== index) return undefined
    const { role } = target
    return parameter.kind === 'tensor'
      ? { kind: 'tensor', role }
      : { kind: 'entries', role, indices: parameter.indices }
  }

  return {
    async run(request, signal) {
      const first = request.span.start - (blocks[0]?.index ?? 0)
      const used = blocks.slice(first, first + spanLength(request.span))
      const changes = (block: Block) => request.patches?.blocks.get(block.index)
      const inputs: Float32Array[] = [request.hidden]
      let weights: BlockFloats | undefined
      for (const block of used) {
        signal?.throwIfAborted()
        weights = await floatsOf(block, changes(block), signal)
        if (inputs.length === used.length) break
        const context = contextOf(request, block.index, changes(block))
        inputs.push((await backward().forward(weights, inputs.at(-1) as Float32Array, context)).y)
      }
      let gradient = request.outputGradient
      const parameterGradients: Float32Array[] = []
      for (const block of used.toReversed()) {
        signal?.throwIfAborted()
        // The last block's are still here from the way forward.
        weights ??= await floatsOf(block, changes(block), signal)
        const { wanted, places } = wantedOf(request, block.index)
        const context = { ...contextOf(request, block.index, changes(block)), wanted }
        const result = await backward().backward(weights, inputs.pop() as Float32Array, gradient, context)
        for (const [i, place] of places.entries()) parameterGradients[place] = result.gradients[i] as Float32Array
        gradient = result.dx
        weights = undefined
      }
      signal?.throwIfAborted()
      return { inputGradient: gradient, parameterGradients }
    },
    async dispose() {
      await made?.dispose()
    },
  }
}
