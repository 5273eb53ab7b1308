/**
 * Loaded blocks as the port's runner: sessions with paged caches, batches, patches. A batch is cut into pieces of rows that
 * run one after the other; calls queue, and each gives way between two blocks.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { type Span, spanLength } from '#contracts/span.ts'
import type {
  BackwardRequest,
  BackwardResult,
  ForwardStep,
  LoadedPatch,
  NumericsClass,
  SessionInit,
  SpanRunner,
  SpanSession,
} from '#core/ports/engine.ts'
import { createKernels, pagePartBytes } from '../kernels/kernels.ts'
import type { Workspace } from '../kernels/workspace.ts'
import { checkBackward } from '../shared/check-backward.ts'
import {
  checkIdle,
  checkImport,
  checkOpen,
  checkPrefix,
  checkUsable,
  type SessionState,
} from '../shared/check-session.ts'
import { type CheckedStep, checkSteps } from '../shared/check-steps.ts'
import { EngineMisuseError } from '../shared/misuse.ts'
import { splitPatch } from '../shared/patch-split.ts'
import { type Block, createBlockForward, type Segment } from './block-forward.ts'
import { vectorBytes } from './block-vectors.ts'
import { giveBack } from './give-back.ts'
import { combinePatches, type PackedPatch, packPatch, type SessionPatches } from './loaded-patch.ts'
import { createPagePool } from './page-pool.ts'
import { createRotaryTables } from './rotary-tables.ts'
import { createSessionCache, readCache, type SessionCache, writeCache } from './session-cache.ts'
import type { SpanBackward } from './span-backward.ts'
import { createTurns } from './turns.ts'

/**
 * Rows that run together. More do not run faster (decision 3), and a piece bounds scratch memory and the time until an
 * abort is seen.
 */
export const rowsPerPiece = 128

export interface SpanRunnerInit {
  readonly config: ModelConfig
  readonly span: Span
  readonly numericsClass: NumericsClass
  readonly workspace: Workspace
  /** `blocks[0]` is block `span.start`. The runner frees them. */
  readonly blocks: readonly Block[]
  readonly backward: SpanBackward
}

/** A session as the runner knows it. */
interface OwnSession extends SessionState {
  readonly patches: SessionPatches | null
  cache: SessionCache
  length: number
  busy: boolean
  disposed: boolean
}

export function createSpanRunner(init: SpanRunnerInit): SpanRunner {
  const { config, span, workspace, blocks, backward } = init
  const { hiddenSize } = config
  const kernels = createKernels(workspace)
  const rotary = createRotaryTables(workspace, config)
  const blockForward = createBlockForward({ workspace, kernels, rotary, config })
  const pool = createPagePool(workspace, pagePartBytes(config.kvHeadCount, config.headSize))
  const turns = createTurns()
  const sessions = new Map<SpanSession, OwnSession>()
  const patches = new Map<LoadedPatch, PackedPatch>()
  let disposal: Promise<void> | null = null

  function checkRunner(): void {
    if (disposal) throw new EngineMisuseError('the runner is disposed')
  }
  function resolvePatches(wanted: readonly LoadedPatch[] = []): readonly PackedPatch[] {
    return wanted.map((patch) => {
      const packed = patches.get(patch)
      if (!packed) throw new EngineMisuseError('the patch is disposed or of another runner')
      return packed
    })
  }

  /** Runs steps of sessions that are reserved for it. Lengths stay as they are. */
  async function runSteps(steps: readonly CheckedStep<OwnSession>[], signal: AbortSignal | undefined) {
    for (const { session, tokens } of steps) session.cache.reserve(session.length, session.length + tokens)
    const outputs = steps.map(({ hidden }) => new Float32Array(hidden.length))
    for (const piece of cutIntoPieces(steps)) await runPiece(steps, piece, outputs, signal)
    return outputs
  }

  async function runPiece(
    steps: readonly CheckedStep<OwnSession>[],
    piece: readonly Part[],
    outputs: readonly Float32Array[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const segments = layOutRows(steps, piece)
    const first = (steps[0]?.session.span.start ?? span.start) - span.start
    const count = steps[0] ? spanLength(steps[0].session.span) : 0
    const input = gatherRows(steps, piece, hiddenSize)
    let x = input
    for (let place = 0; place < count; place++) {
      signal?.throwIfAborted()
      const y = await blockForward.run(blocks[first + place] as Block, place, segments, x)
      if (x !== input) giveBack(x) // the input may be the caller's
      x = y
    }
    signal?.throwIfAborted()
    scatterRows(x, piece, outputs, hiddenSize)
    if (x !== input) giveBack(x)
  }

  /** Reserves `owned` and runs `work` in its turn. Whatever takes memory runs in a turn: see `createBlockForward`. */
  async function exclusively<T>(owned: readonly OwnSession[], work: () => Promise<T>): Promise<T> {
    for (const session of owned) session.busy = true
    try {
      return await turns.run(async () => {
        for (const session of owned) checkUsable(session)
        return work()
      })
    } finally {
      for (const session of owned) {
        session.busy = false
        // Pages taken for rows that did not come to be.
        if (session.disposed) letGo(session)
        else session.cache.truncate(session.length)
      }
    }
  }

  /** Memory of a session that has ended. Not while a call on it is under way, which goes on reading it to its end. */
  function letGo({ cache, patches: used }: OwnSession): void {
    cache.dispose()
    used?.release()
  }

  async function forward(steps: readonly ForwardStep[], signal: AbortSignal | undefined) {
    checkRunner()
    const checked = checkSteps(steps, (session) => sessions.get(session), hiddenSize)
    signal?.throwIfAborted()
    const owned = checked.map(({ session }) => session)
    return exclusively(owned, async () => {
      signal?.throwIfAborted()
      const outputs = await runSteps(checked, signal)
      for (const session of owned) checkUsable(session)
      for (const { session, tokens } of checked) session.length += tokens
      return outputs
    })
  }

  function adopt(own: OwnSession): SpanSession {
    const session = createSession(own)
    sessions.set(session, own)
    return session
  }

  function createSession(own: OwnSession): SpanSession {
    const session: SpanSession = {
      span: own.span,
      maxLength: own.maxLength,
      get length() {
        return own.length
      },
      get cacheBytes() {
        return own.disposed ? 0 : own.cache.bytes
      },
      async forward(hidden, { signal } = {}) {
        checkUsable(own)
        const [output] = await forward([{ session, hidden }], signal)
        return output as Float32Array
      },
      truncate(length) {
        checkIdle(own)
        checkPrefix(own, length)
        own.length = length
        own.cache.truncate(length)
      },
      fork(length = own.length) {
        checkIdle(own)
        checkPrefix(own, length)
        own.patches?.hold()
        return adopt({ ...own, length, cache: own.cache.fork(length) })
      },
      async exportCache() {
        checkIdle(own)
        return readPast(own)
      },
      async importCache(cache) {
        checkIdle(own)
        const length = checkImport(own, cache, config)
        await exclusively([own], async () => {
          own.cache.reserve(0, length)
          writeCache(workspace, own.cache, spanLength(own.span), length, config, cache)
          own.length = length
        })
      },
      dispose() {
        if (own.disposed) return
        own.disposed = true
        sessions.delete(session)
        if (!own.busy) letGo(own)
      },
    }
    return session
  }

  async function runBackward(request: BackwardRequest, signal: AbortSignal | undefined): Promise<BackwardResult> {
    checkRunner()
    const checked = checkBackward(request, (session) => sessions.get(session), { config, loaded: span })
    const used = combine(resolvePatches(request.patches))
    const { hidden, outputGradient, parameters = [] } = request
    try {
      signal?.throwIfAborted()
      return await exclusively(checked.after ? [checked.after] : [], async () => {
        signal?.throwIfAborted()
        checkRunner()
        const past = checked.after && readPast(checked.after)
        const result = await backward.run(
          { ...checked, hidden, outputGradient, parameters, patches: used, past },
          signal,
        )
        checkRunner()
        if (checked.after) checkUsable(checked.after)
        return result
      })
    } finally {
      used?.release()
    }
  }

  function readPast(session: OwnSession): Float32Array {
    return readCache(workspace, session.cache, spanLength(session.span), session.length, config)
  }

  /** Holds `used` until released. */
  function combine(used: readonly PackedPatch[]): SessionPatches | null {
    if (used.length === 0) return null
    return combinePatches(workspace, used, (index) => blocks[index - span.start]?.vectors ?? {})
  }

  /** Sessions first: a call under way ends before the weights under it are freed. */
  async function disposeAll(): Promise<void> {
    for (const session of [...sessions.keys()]) session.dispose()
    await turns.idle()
    for (const patch of [...patches.keys()]) patch.dispose()
    await Promise.all(blocks.map((block) => block.products.dispose()))
    await backward.dispose()
  }

  return {
    span,
    numericsClass: init.numericsClass,
    weightBytes: blocks.reduce((sum, { products, vectors }) => sum + products.weightBytes + vectorBytes(vectors), 0),
    openSession(wanted: SessionInit) {
      checkRunner()
      const sessionSpan = checkOpen(config, span, wanted)
      const used = resolvePatches(wanted.patches)
      return adopt({
        span: sessionSpan,
        maxLength: wanted.maxLength,
        patches: combine(used),
        cache: createSessionCache(pool, spanLength(sessionSpan)),
        length: 0,
        busy: false,
        disposed: false,
      })
    },
    forward: (steps, { signal } = {}) => forward(steps, signal),
    backward: (request, { signal } = {}) => runBackward(request, signal),
    async loadPatch(patch) {
      checkRunner()
      const split = splitPatch(patch, config)
      const packed = await turns.run(async () => packPatch(workspace, config, split, span))
      const loaded: LoadedPatch = {
        weightBytes: packed.weightBytes,
        dispose() {
          if (patches.delete(loaded)) packed.release()
        },
      }
      patches.set(loaded, packed)
      return loaded
    },
    dispose() {
      disposal ??= disposeAll()
      return disposal
    },
  }
}

/** Rows [start, end) of a step. */
interface Part {
  readonly step: number
  readonly start: number
  readonly end: number
}

/** Every step's rows in order, at most `rowsPerPiece` a piece; short steps of many sessions share the first. */
function cutIntoPieces(steps: readonly { readonly tokens: number }[]): Part[][] {
  const pieces: Part[][] = []
  let room = 0
  for (const [step, { tokens }] of steps.entries()) {
    for (let start = 0; start < tokens; ) {
      if (room === 0) {
        pieces.push([])
        room = rowsPerPiece
      }
      const end = Math.min(tokens, start + room)
      pieces.at(-1)?.push({ step, start, end })
      room -= end - start
      start = end
    }
  }
  return pieces
}

function layOutRows(steps: readonly CheckedStep<OwnSession>[], piece: readonly Part[]): Segment[] {
  let row = 0
  return piece.map(({ step, start, end }) => {
    const { session } = steps[step] as CheckedStep<OwnSession>
    const rows = end - start
    row += rows
    return { cache: session.cache, patches: session.patches, position: session.length + start, row: row - rows, rows }
  })
}

function gatherRows(steps: readonly CheckedStep<OwnSession>[], piece: readonly Part[], width: number): Float32Array {
  const parts = piece.map(({ step, start, end }) => steps[step]?.hidden.subarray(start * width, end * width) ?? [])
  if (parts.length === 1) return parts[0] as Float32Array
  const x = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    x.set(part, at)
    at += part.length
  }
  return x
}

function scatterRows(x: Float32Array, piece: readonly Part[], outputs: readonly Float32Array[], width: number): void {
  let row = 0
  for (const { step, start, end } of piece) {
    outputs[step]?.set(x.subarray(row * width, (row + end - start) * width), start * width)
    row += end - start
  }
}
