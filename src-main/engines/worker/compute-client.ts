/**
 * A worker that is there when it is needed: started first to learn what it computes with, started again by the next load
 * after it has failed. What the failed one held is gone; `onFailure` tells whoever wants it loaded anew.
 */
import { EngineFailedError } from '#core/errors.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { ComputeProcess } from './channel.ts'
import { type Connection, openConnection } from './connection.ts'
import type { ComputeDescription, WorkerStats } from './protocol.ts'
import { decideRestart, type RestartPolicy, restartPolicy } from './restart-policy.ts'
import { type WatchLimits, watchLimits } from './watch.ts'

export interface ComputeClient {
  readonly description: ComputeDescription
  /**
   * The worker's connection; starts a worker when there is none. Throws `EngineFailedError` when it does not start or has
   * failed too often, and the signal's reason while waiting.
   */
  connect(options?: { signal?: AbortSignal | undefined }): Promise<Connection>
  /** Hears of every failure, once. -> stops it */
  onFailure(listener: (error: EngineFailedError) => void): () => void
  /** Null while no worker runs. */
  stats(): Promise<WorkerStats | null>
  /** Holds the worker that runs now still, as `Connection.suspend` does; one that is started later is not. */
  suspend(): void
  resume(): void
  /** Ends the worker. Idempotent. */
  dispose(): Promise<void>
}

export interface ComputeClientComponents {
  readonly start: () => ComputeProcess
  readonly clock: Clock
}
export interface ComputeClientInit {
  /** Names the worker in errors until it has said what its backend is. */
  readonly name: string
  readonly watchLimits?: WatchLimits
  readonly restartPolicy?: RestartPolicy
  /** Runtimes of some hundred MB are loaded from a cold disk. */
  readonly startLimitMs?: number
}

/** Throws `EngineFailedError` when the worker does not start. */
export async function startComputeClient(
  { start, clock }: ComputeClientComponents,
  init: ComputeClientInit,
): Promise<ComputeClient> {
  const policy = init.restartPolicy ?? restartPolicy
  const listeners = new Set<(error: EngineFailedError) => void>()
  const disposal = new AbortController()
  let failedAtMs: readonly number[] = []
  let current: Promise<Connection> | null = null
  /** The last one that was opened; it may have failed. */
  let opened: Connection | null = null

  function failed(error: EngineFailedError): void {
    current = null
    failedAtMs = [...failedAtMs, clock.monotonicMs()].slice(-policy.limit)
    for (const listener of [...listeners]) listener(error)
  }

  async function open(): Promise<Connection> {
    const decision = decideRestart(failedAtMs, clock.monotonicMs(), policy)
    if (decision.kind === 'refuse') {
      const minutes = Math.ceil(decision.againInMs / 60_000)
      throw new EngineFailedError(init.name, `failed ${decision.failures} times; tried again in ${minutes} minutes`)
    }
    await pause(decision.afterMs, disposal.signal)
    opened = await openConnection(start(), {
      name: init.name,
      watchLimits: init.watchLimits ?? watchLimits,
      startLimitMs: init.startLimitMs ?? 60_000,
      onFailure: failed,
    })
    return opened
  }

  function connect(): Promise<Connection> {
    if (disposal.signal.aborted) return Promise.reject(disposal.signal.reason)
    if (current === null) {
      const opening = open()
      current = opening
      opening.catch(() => {
        if (current === opening) current = null
      })
    }
    return current
  }

  const { description } = await connect()
  return {
    description,
    async connect({ signal } = {}) {
      const connection = await unlessAborted(connect(), signal)
      if (isSame(connection.description, description)) return connection
      connection.fail('is another backend than before')
      throw connection.failure
    },
    onFailure(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async stats() {
      const connection = await current?.catch(() => null)
      return connection ? (await connection.call({ kind: 'stats' })).answer : null
    },
    suspend: () => opened?.suspend(),
    resume: () => opened?.resume(),
    async dispose() {
      disposal.abort(new EngineFailedError(description.backend, 'has been shut down'))
      const connection = await current?.catch(() => null)
      await connection?.end()
    },
  }
}

function isSame(a: ComputeDescription, b: ComputeDescription): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** Rejects with the signal's reason when it fires first. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms === 0) return Promise.resolve()
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
  return unlessAborted(promise, signal)
}
