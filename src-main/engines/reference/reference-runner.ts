/** Blocks in memory as float32, computed with in float64: every session by itself, one block after the other. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { Span } from '#contracts/span.ts'
import { type BlockWeights, blockForward } from '#core/numerics/block.ts'
import type { LoadedPatch, NumericsClass, SpanRunner, SpanSession } from '#core/ports/engine.ts'
import { checkBackward } from '../shared/check-backward.ts'
import { checkOpen, checkUsable } from '../shared/check-session.ts'
import { type CheckedStep, checkSteps } from '../shared/check-steps.ts'
import { EngineMisuseError } from '../shared/misuse.ts'
import { createPatchRegistry } from '../shared/patch-registry.ts'
import { blockPatchBytes, type SplitPatch, splitPatch } from '../shared/patch-split.ts'
import { applyPatches, mergeScales, type PatchedBlock } from './patched-weights.ts'
import { spanBackward, yieldTurn } from './reference-backward.ts'
import { cacheOf, createReferenceSession, createState, type ReferenceState } from './reference-session.ts'

/** Longer inputs run in pieces of this many tokens, so that the event loop and an abort get their turn. */
const tokensPerRun = 128

export interface RunnerParts {
  readonly config: ModelConfig
  readonly span: Span
  /** `blocks[0]` is block `span.start`. */
  readonly blocks: readonly BlockWeights[]
  readonly numericsClass: NumericsClass
}

export function createReferenceRunner({ config, span, blocks, numericsClass }: RunnerParts): SpanRunner {
  const states = new WeakMap<SpanSession, ReferenceState>()
  const open = new Set<SpanSession>()
  const patches = createPatchRegistry<SplitPatch>()
  const running = new Set<Promise<unknown>>()
  let disposed = false

  const find = (session: SpanSession) => states.get(session)

  function checkRunner(): void {
    if (disposed) throw new EngineMisuseError('the runner is disposed')
  }

  function patchedBlocks(wanted: Span, loaded: readonly LoadedPatch[] | undefined): PatchedBlock[] {
    const applied = patches.resolve(loaded)
    return blocks.slice(wanted.start - span.start, wanted.end - span.start).map((block, i) =>
      applyPatches(
        block,
        applied.flatMap((patch) => patch.blocks.get(wanted.start + i) ?? []),
      ),
    )
  }

  function adopt(state: ReferenceState): SpanSession {
    const session = createReferenceSession(state, { config, forward, adopt, release: () => open.delete(session) })
    states.set(session, state)
    open.add(session)
    return session
  }

  /** Runs `work` while `sessions` are busy; disposal waits for it, and it fails when the runner is gone at its end. */
  async function occupy<T>(sessions: readonly ReferenceState[], work: () => Promise<T>): Promise<T> {
    for (const session of sessions) session.busy = true
    const run = work()
    running.add(run)
    try {
      const result = await run
      checkRunner()
      return result
    } finally {
      running.delete(run)
      for (const session of sessions) session.busy = false
    }
  }

  const forward: SpanRunner['forward'] = async (steps, { signal } = {}) => {
    checkRunner()
    const checked = checkSteps(steps, find, config.hiddenSize)
    signal?.throwIfAborted()
    const sessions = checked.map((step) => step.session)
    return occupy(sessions, async () => {
      const outputs: Float32Array[] = []
      for (const step of checked) outputs.push(await runStep(step, config, signal))
      for (const session of sessions) checkUsable(session)
      for (const { session, tokens } of checked) session.length += tokens
      return outputs
    })
  }

  return {
    span,
    numericsClass,
    weightBytes: blocks.reduce((sum, block) => sum + blockBytes(block), 0),
    forward,
    openSession(init) {
      checkRunner()
      const wanted = checkOpen(config, span, init)
      return adopt(createState(wanted, init.maxLength, patchedBlocks(wanted, init.patches).map(mergeScales)))
    },
    async backward(request, { signal } = {}) {
      checkRunner()
      const checked = checkBackward(request, find, { config, loaded: span })
      const patched = patchedBlocks(checked.span, request.patches)
      signal?.throwIfAborted()
      const sessions = checked.after ? [checked.after] : []
      return occupy(sessions, () => spanBackward({ request, checked, blocks: patched, config }, signal))
    },
    async loadPatch(patch) {
      checkRunner()
      const split = splitPatch(patch, config)
      return patches.add(split, blockPatchBytes(split, span))
    },
    async dispose() {
      disposed = true
      for (const session of open) session.dispose()
      await Promise.allSettled(running)
    },
  }
}

/** One session's part of a batch. (tokens, hiddenSize) -> the same shape */
async function runStep(
  { session, hidden }: CheckedStep<ReferenceState>,
  config: ModelConfig,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const output = new Float32Array(hidden.length)
  const pieceSize = tokensPerRun * config.hiddenSize
  for (let start = 0; start < hidden.length; start += pieceSize) {
    let x: Float32Array | Float64Array = hidden.subarray(start, start + pieceSize)
    for (const [i, block] of session.weights.entries()) {
      await yieldTurn(signal)
      const cache = cacheOf(session, i)
      cache.length = session.length + start / config.hiddenSize
      x = blockForward(x, block, cache, config)
    }
    output.set(x, start)
  }
  return output
}

function blockBytes(weights: BlockWeights): number {
  return Object.values(weights).reduce((sum, tensor) => sum + tensor.byteLength, 0)
}
