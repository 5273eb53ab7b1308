/**
 * Blocks in a worker, as the port has them. The client counts each session's positions and says them with every request, so
 * that a call can be given up at once: what the worker still does with it is forgotten there (`served-session.ts`). The
 * port's rules are checked here, before anything is sent.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { type Span, spanLength } from '#contracts/span.ts'
import type {
  BackwardRequest,
  BackwardResult,
  ForwardStep,
  NumericsClass,
  SpanRunner,
  SpanSession,
} from '#core/ports/engine.ts'
import { checkBackward } from '../shared/check-backward.ts'
import { checkIdle, checkImport, checkOpen, checkPrefix, checkUsable } from '../shared/check-session.ts'
import { checkSteps } from '../shared/check-steps.ts'
import { EngineMisuseError } from '../shared/misuse.ts'
import type { Connection } from './connection.ts'
import { expectFloats } from './expect-arrays.ts'
import { packParameters } from './packing.ts'
import { parameterSize } from './parameter-size.ts'
import { type Answered, type Call, untilAborted } from './pending-calls.ts'
import type { RequestKind } from './protocol.ts'
import { createRemotePatches } from './remote-patches.ts'

export interface RemoteRunnerInit {
  readonly part: number
  readonly config: ModelConfig
  readonly span: Span
  readonly numericsClass: NumericsClass
  readonly weightBytes: number
}

interface OwnSession {
  readonly id: number
  readonly span: Span
  readonly maxLength: number
  length: number
  cacheBytes: number
  busy: boolean
  disposed: boolean
  /** Fails the call that is under way. */
  interrupt: (error: EngineMisuseError) => void
}

export function createRemoteRunner(connection: Connection, init: RemoteRunnerInit): SpanRunner {
  const { part, config, span } = init
  const patches = createRemotePatches(connection, part)
  const sessions = new WeakMap<SpanSession, OwnSession>()
  const open = new Set<SpanSession>()
  const underWay = new Set<Call<RequestKind>['abandon']>()
  const find = (session: SpanSession) => sessions.get(session)
  let disposal: Promise<void> | null = null

  function checkRunner(): void {
    if (disposal) throw new EngineMisuseError('the runner is disposed')
    checkAlive()
  }
  function checkAlive(): void {
    if (connection.failure) throw connection.failure
  }

  /** Waits for the call with its sessions taken. */
  async function occupy<K extends RequestKind>(
    taken: readonly OwnSession[],
    call: Call<K>,
    signal?: AbortSignal,
  ): Promise<Answered<K>> {
    for (const session of taken) {
      session.busy = true
      session.interrupt = call.abandon
    }
    underWay.add(call.abandon)
    try {
      return await untilAborted(call, signal)
    } finally {
      underWay.delete(call.abandon)
      for (const session of taken) session.busy = false
    }
  }

  async function forward(steps: readonly ForwardStep[], signal?: AbortSignal): Promise<readonly Float32Array[]> {
    checkRunner()
    const checked = checkSteps(steps, find, config.hiddenSize)
    signal?.throwIfAborted()
    if (checked.length === 0) return []
    const taken = checked.map(({ session }) => session)
    const call = connection.begin(
      { kind: 'forward', part, steps: taken.map(placed) },
      { arrays: checked.map(({ hidden }) => hidden) },
    )
    const { answer, arrays } = await occupy(taken, call, signal)
    const outputs = checked.map(({ hidden }) => expectFloats(connection, arrays, hidden.length))
    for (const [i, { session, tokens }] of checked.entries()) {
      session.length += tokens
      session.cacheBytes = answer.cacheBytes[i] ?? 0
    }
    return outputs
  }

  function adopt(own: OwnSession): SpanSession {
    const session = createSession(own)
    sessions.set(session, own)
    open.add(session)
    return session
  }

  function createSession(own: OwnSession): SpanSession {
    const unwatch = connection.watchCache(own.id, (cacheBytes) => {
      own.cacheBytes = cacheBytes
    })
    const session: SpanSession = {
      span: own.span,
      maxLength: own.maxLength,
      get length() {
        return own.length
      },
      get cacheBytes() {
        return own.disposed || connection.failure ? 0 : own.cacheBytes
      },
      async forward(hidden, { signal } = {}) {
        checkUsable(own)
        const [output] = await forward([{ session, hidden }], signal)
        return output as Float32Array
      },
      truncate(length) {
        checkIdle(own)
        checkAlive()
        checkPrefix(own, length)
        own.length = length
        connection.notify({ kind: 'truncate-session', ...placed(own) })
      },
      fork(length = own.length) {
        checkIdle(own)
        checkAlive()
        checkPrefix(own, length)
        const id = connection.newId()
        connection.notify({ kind: 'fork-session', session: id, from: placed(own), length })
        // Shared for now; the worker tells when it is another number.
        return adopt({ ...own, id, length, interrupt: () => {} })
      },
      async exportCache() {
        checkIdle(own)
        const { arrays } = await occupy([own], connection.begin({ kind: 'export-cache', ...placed(own) }))
        return expectFloats(connection, arrays, cacheLength(own))
      },
      async importCache(cache) {
        checkIdle(own)
        checkImport(own, cache, config)
        const call = connection.begin({ kind: 'import-cache', ...placed(own) }, { arrays: [cache] })
        const { answer } = await occupy([own], call)
        own.length = answer.length
        own.cacheBytes = answer.cacheBytes
      },
      dispose() {
        if (own.disposed) return
        own.disposed = true
        open.delete(session)
        unwatch()
        own.interrupt(new EngineMisuseError('the session is disposed'))
        connection.notify({ kind: 'close-session', session: own.id })
      },
    }
    return session
  }

  function cacheLength({ span: { start, end }, length }: OwnSession): number {
    return spanLength({ start, end }) * 2 * length * config.kvHeadCount * config.headSize
  }

  async function backward(request: BackwardRequest, signal?: AbortSignal): Promise<BackwardResult> {
    checkRunner()
    const checked = checkBackward(request, find, { config, loaded: span })
    const used = patches.resolve(request.patches)
    signal?.throwIfAborted()
    const { hidden, outputGradient } = request
    const sizes = (request.parameters ?? []).map((parameter) => parameterSize(config, parameter))
    const { parameters, arrays: indices } = packParameters(request.parameters ?? [])
    const after = checked.after && { after: placed(checked.after) }
    const call = connection.begin(
      { kind: 'backward', part, span: checked.span, ...after, patches: used, parameters },
      { arrays: [hidden, outputGradient, ...indices] },
    )
    const { arrays } = await occupy(checked.after ? [checked.after] : [], call, signal)
    const inputGradient = expectFloats(connection, arrays, hidden.length)
    return { inputGradient, parameterGradients: sizes.map((size) => expectFloats(connection, arrays, size)) }
  }

  async function disposeAll(): Promise<void> {
    for (const session of [...open]) session.dispose()
    for (const abandon of [...underWay]) abandon(new EngineMisuseError('the runner is disposed'))
    if (connection.failure) return
    await connection.call({ kind: 'dispose-part', part }).catch((error: unknown) => {
      // With the worker everything in it is gone, which is what was wanted.
      if (!connection.failure) throw error
    })
  }

  return {
    span,
    numericsClass: init.numericsClass,
    weightBytes: init.weightBytes,
    openSession(wanted) {
      checkRunner()
      const sessionSpan = checkOpen(config, span, wanted)
      const used = patches.resolve(wanted.patches)
      const id = connection.newId()
      const { maxLength } = wanted
      connection.notify({ kind: 'open-session', part, session: id, maxLength, span: sessionSpan, patches: used })
      return adopt({
        id,
        span: sessionSpan,
        maxLength,
        length: 0,
        cacheBytes: 0,
        busy: false,
        disposed: false,
        interrupt: () => {},
      })
    },
    forward: (steps, { signal } = {}) => forward(steps, signal),
    backward: (request, { signal } = {}) => backward(request, signal),
    async loadPatch(patch) {
      checkRunner()
      return patches.load(patch)
    },
    dispose() {
      disposal ??= disposeAll()
      return disposal
    },
  }
}

function placed({ id, length }: OwnSession) {
  return { session: id, length }
}
