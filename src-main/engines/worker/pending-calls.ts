/** What a worker has been asked and has not answered. */
import { type ArrayReader, createArrayReader } from './array-reader.ts'
import type { WireArray } from './channel.ts'
import { type Answer, answerSchemas, type RequestKind, type RequestOf, type ToWorker } from './protocol.ts'

export type OnProgress = (progress: { readonly blocksLoaded: number; readonly blocksTotal: number }) => void

export interface Answered<K extends RequestKind> {
  readonly answer: Answer<K>
  readonly arrays: ArrayReader
}

export interface Call<K extends RequestKind> {
  readonly answered: Promise<Answered<K>>
  /** Fails the call at once and tells the worker; what it answers is ignored. */
  abandon(error: unknown): void
  /** Asks the worker to stop; the call goes on until it has. */
  cancel(): void
}

export interface BeginOptions {
  readonly arrays?: readonly WireArray[]
  readonly onProgress?: OnProgress | undefined
}

export interface PendingCalls {
  /** Those that wait for an answer. */
  readonly size: number
  /** An id that neither a call nor anything else in the worker has. */
  newId(): number
  begin<K extends RequestKind>(request: RequestOf<K>, options?: BeginOptions): Call<K>
  /** False for an answer to what was not asked, or of another form than was asked for. */
  answer(id: number, answer: unknown, arrays: readonly WireArray[]): boolean
  /** False for a failure of what was not asked. */
  fail(id: number, error: unknown): boolean
  progress(id: number, ...progress: Parameters<OnProgress>): void
  failAll(error: unknown): void
}

interface Pending {
  readonly kind: RequestKind
  resolve(answered: Answered<RequestKind>): void
  reject(error: unknown): void
  readonly onProgress: OnProgress | undefined
}

export function createPendingCalls(send: (message: ToWorker, arrays?: readonly WireArray[]) => void): PendingCalls {
  const pending = new Map<number, Pending>()
  let lastId = 0

  /** Undefined for a call that was given up. */
  function take(id: number): Pending | undefined {
    const call = pending.get(id)
    pending.delete(id)
    return call
  }

  return {
    get size() {
      return pending.size
    },
    newId: () => ++lastId,
    begin<K extends RequestKind>(request: RequestOf<K>, { arrays, onProgress }: BeginOptions = {}): Call<K> {
      const { promise, resolve, reject } = Promise.withResolvers<Answered<K>>()
      const id = ++lastId
      const cancel = () => send({ notice: { kind: 'cancel', call: id } })
      const abandon = (error: unknown) => {
        if (take(id) === undefined) return
        cancel()
        reject(error)
      }
      pending.set(id, {
        kind: request.kind,
        resolve: resolve as Pending['resolve'],
        reject,
        onProgress: guarded(onProgress, abandon),
      })
      send({ call: id, request }, arrays)
      return { answered: promise, abandon, cancel }
    },
    answer(id, answer, arrays) {
      const call = pending.get(id)
      if (call === undefined) return id <= lastId
      const parsed = answerSchemas[call.kind].safeParse(answer)
      if (!parsed.success) return false
      take(id)?.resolve({ answer: parsed.data, arrays: createArrayReader(arrays) })
      return true
    },
    fail(id, error) {
      take(id)?.reject(error)
      return id <= lastId
    },
    progress: (id, progress) => pending.get(id)?.onProgress?.(progress),
    failAll(error) {
      for (const { reject } of pending.values()) reject(error)
      pending.clear()
    },
  }
}

/** What the listener throws fails the call, as it would in this process. */
function guarded(onProgress: OnProgress | undefined, onError: (error: unknown) => void): OnProgress | undefined {
  if (onProgress === undefined) return undefined
  return (progress) => {
    try {
      onProgress(progress)
    } catch (error) {
      onError(error)
    }
  }
}

/** The answer, or the signal's reason as soon as it fires: the worker may finish later what it is at. */
export async function untilAborted<K extends RequestKind>(
  call: Call<K>,
  signal: AbortSignal | undefined,
): Promise<Answered<K>> {
  if (signal === undefined) return call.answered
  const abort = () => call.abandon(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await call.answered
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** For what must be known to have happened or not: the answer, or the signal's reason once the worker has stopped for it. */
export async function untilStopped<K extends RequestKind>(
  call: Call<K>,
  signal: AbortSignal | undefined,
): Promise<Answered<K>> {
  signal?.addEventListener('abort', call.cancel, { once: true })
  try {
    return await call.answered
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', call.cancel)
  }
}
