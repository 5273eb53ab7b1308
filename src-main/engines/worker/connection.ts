/**
 * A client's conversation with one worker, from its first message to its end. It does not outlive the worker: when that ends,
 * hangs or says what cannot be understood, everything asked of it fails and so does whatever is asked later.
 */
import { EngineFailedError } from '#core/errors.ts'
import type { ComputeProcess, Packet, WireArray } from './channel.ts'
import { type Answered, type BeginOptions, type Call, createPendingCalls, untilAborted } from './pending-calls.ts'
import {
  type ComputeDescription,
  type FromWorker,
  fromWorkerSchema,
  type Notice,
  protocolVersion,
  type RequestKind,
  type RequestOf,
  type ToWorker,
} from './protocol.ts'
import { type Watch, type WatchLimits, watchWorker } from './watch.ts'
import { fromWireError } from './wire-error.ts'

export interface Connection {
  readonly description: ComputeDescription
  /** Null as long as the worker lives. */
  readonly failure: EngineFailedError | null
  /** An id that nothing else in this worker has. */
  newId(): number
  begin<K extends RequestKind>(request: RequestOf<K>, options?: BeginOptions): Call<K>
  /** Rejects with the signal's reason as soon as it fires. */
  call<K extends RequestKind>(
    request: RequestOf<K>,
    options?: BeginOptions & { readonly signal?: AbortSignal | undefined },
  ): Promise<Answered<K>>
  notify(notice: Notice): void
  /** `listener` hears of a session's cache when it changes without a call. -> stops it */
  watchCache(session: number, listener: (cacheBytes: number) => void): () => void
  /**
   * Holds the worker still, where that can be done, until `resume` or until it must hear something: that a call is given up,
   * that a part is not needed any more, that it should end. Whoever waits for that does not wait for `resume`.
   */
  suspend(): void
  resume(): void
  /** Ends the worker because of what it did. */
  fail(why: string): void
  /** Lets the worker free everything and end, for at most 2 s. */
  end(): Promise<void>
}

export interface ConnectionInit {
  /** Names the worker in errors until it has said what its backend is. */
  readonly name: string
  readonly watchLimits: WatchLimits
  readonly startLimitMs: number
  /** Told once, unless the end was asked for. */
  readonly onFailure: (error: EngineFailedError) => void
}

const endLimitMs = 2_000

/** Resolves when the worker has said what it is. Throws `EngineFailedError` when it ends before. */
export function openConnection(worker: ComputeProcess, init: ConnectionInit): Promise<Connection> {
  const greeted = Promise.withResolvers<Connection>()
  const ended = Promise.withResolvers<void>()
  const calls = createPendingCalls(send)
  const cacheListeners = new Map<number, (cacheBytes: number) => void>()
  let description: ComputeDescription | null = null
  let failure: EngineFailedError | null = null
  let unansweredPings = 0
  let isSuspended = false

  let watch: Watch | null = null
  const startLimit = setTimeout(() => fail(`did not start within ${init.startLimitMs} ms`), init.startLimitMs)

  /** Whatever is asked from here on fails. */
  function giveUp(why: string): EngineFailedError {
    const error = new EngineFailedError(description?.backend ?? init.name, why)
    failure = error
    clearTimeout(startLimit)
    watch?.stop()
    calls.failAll(error)
    cacheListeners.clear()
    greeted.reject(error)
    return error
  }
  function fail(why: string): void {
    if (failure !== null) return
    const error = giveUp(why)
    worker.kill()
    init.onFailure(error)
  }
  async function end(): Promise<void> {
    if (failure === null) {
      send({ notice: { kind: 'end' } })
      giveUp('has been shut down')
    }
    const limit = setTimeout(() => worker.kill(), endLimitMs)
    await ended.promise
    clearTimeout(limit)
  }

  function suspend(): void {
    if (failure !== null || isSuspended || worker.suspender === null) return
    isSuspended = true
    watch?.rest()
    worker.suspender.suspend()
  }
  function resume(): void {
    if (!isSuspended) return
    isSuspended = false
    worker.suspender?.resume()
    watch?.goOn()
  }

  function send(head: ToWorker, arrays: readonly WireArray[] = []): void {
    worker.send({ head, arrays })
    if (isSuspended && mustBeHeard(head)) resume()
  }
  function ping(): void {
    unansweredPings++
    const answered = () => void unansweredPings--
    calls.begin({ kind: 'ping' }).answered.then(answered, answered)
  }

  function onHung(silentMs: number): void {
    fail(`gave no sign of life for ${Math.round(silentMs / 1000)} s`)
  }

  function hear({ head, arrays }: Packet): void {
    watch?.heard()
    const message = fromWorkerSchema.safeParse(head)
    if (!message.success || !understand(message.data, arrays)) fail(`said what is not protocol ${protocolVersion}`)
  }
  /** False for what makes no sense. */
  function understand(message: FromWorker, arrays: readonly WireArray[]): boolean {
    switch (message.kind) {
      case 'hello':
        return greet(message.description)
      case 'answer':
        return calls.answer(message.call, message.answer, arrays)
      case 'failed':
        return calls.fail(message.call, fromWireError(message.error))
      case 'progress':
        calls.progress(message.call, { blocksLoaded: message.blocksLoaded, blocksTotal: message.blocksTotal })
        return true
      case 'cache':
        cacheListeners.get(message.session)?.(message.cacheBytes)
        return true
    }
  }
  function greet(said: ComputeDescription): boolean {
    if (description !== null) return false
    if (failure !== null) return true
    clearTimeout(startLimit)
    description = said
    watch = watchWorker({ isBusy: () => calls.size > unansweredPings, ping, onHung }, init.watchLimits)
    greeted.resolve(connection(said))
    return true
  }

  function connection(said: ComputeDescription): Connection {
    function begin<K extends RequestKind>(request: RequestOf<K>, options?: BeginOptions): Call<K> {
      if (failure === null) return calls.begin(request, options)
      return { answered: Promise.reject(failure), abandon: () => {}, cancel: () => {} }
    }
    return {
      description: said,
      get failure() {
        return failure
      },
      newId: calls.newId,
      begin,
      async call(request, options = {}) {
        options.signal?.throwIfAborted()
        return untilAborted(begin(request, options), options.signal)
      },
      notify: (notice) => send({ notice }),
      watchCache(session, listener) {
        cacheListeners.set(session, listener)
        return () => cacheListeners.delete(session)
      },
      suspend,
      resume,
      fail,
      end,
    }
  }

  worker.listen({
    onPacket: hear,
    onEnd(why) {
      fail(why)
      ended.resolve()
    },
  })
  return greeted.promise
}

/** What frees or ends something. Other requests are work, which waits. */
function mustBeHeard(message: ToWorker): boolean {
  return 'notice' in message || message.request.kind === 'dispose-part'
}
