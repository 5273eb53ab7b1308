/**
 * Continuous batching (Yu et al. 2022, Orca): what sessions ask for while the blocks are busy runs together when they are
 * free, so that the weights are read once for all. Long inputs come in pieces that queue one by one, so a short step of
 * another session never waits for all of a long one.
 */
import type { SpanRunner, SpanSession } from '../ports/engine.ts'

export interface Batcher {
  /**
   * `session.forward`, in a batch with whatever else waits. Calls on one session do not overlap. Throws the signal's reason
   * when aborted, the session's length unchanged.
   */
  forward(session: SpanSession, hidden: Float32Array, signal: AbortSignal): Promise<Float32Array>
}

export interface BatcherInit {
  readonly hiddenSize: number
  /** Positions that run together; one session's longer input still runs, alone. */
  readonly maxPositions: number
}

interface Waiting {
  readonly session: SpanSession
  readonly hidden: Float32Array
  readonly positions: number
  readonly signal: AbortSignal
  readonly done: PromiseWithResolvers<Float32Array>
}

export function createBatcher(runner: Pick<SpanRunner, 'forward'>, init: BatcherInit): Batcher {
  const waiting = new Set<Waiting>()
  let running = false

  /** Never rejects: every failure goes to whoever asked. */
  async function work(): Promise<void> {
    running = true
    // Whatever is asked for in the same turn of the event loop belongs to the first batch, too.
    await Promise.resolve()
    while (waiting.size > 0) {
      const batch = nextBatch(waiting, init.maxPositions)
      for (const one of batch) waiting.delete(one)
      await run(batch)
    }
    running = false
  }

  async function run(batch: readonly Waiting[]): Promise<void> {
    const [only] = batch
    try {
      const signal = batch.length === 1 ? only?.signal : undefined
      const outputs = await runner.forward(batch, signal && { signal })
      for (const [i, one] of batch.entries()) settle(one, outputs[i] as Float32Array)
    } catch (error) {
      if (batch.length === 1) return only?.done.reject(error)
      // A batch fails as a whole: alone, only those fail that cannot run.
      for (const one of batch) {
        if (one.signal.aborted) one.done.reject(one.signal.reason)
        else await run([one])
      }
    }
  }

  return {
    async forward(session, hidden, signal) {
      signal.throwIfAborted()
      const done = Promise.withResolvers<Float32Array>()
      const one = { session, hidden, positions: hidden.length / init.hiddenSize, signal, done }
      const leave = () => {
        if (waiting.delete(one)) done.reject(signal.reason)
      }
      waiting.add(one)
      signal.addEventListener('abort', leave, { once: true })
      if (!running) void work()
      return done.promise.finally(() => signal.removeEventListener('abort', leave))
    },
  }
}

/** One that was aborted in a batch ran all the same: it is taken back, so that its session is where it was. */
function settle({ session, positions, signal, done }: Waiting, output: Float32Array): void {
  if (signal.aborted) {
    session.truncate(session.length - positions)
    done.reject(signal.reason)
  } else done.resolve(output)
}

/** The one that has waited longest, and others of its span in order, as long as all fit. */
function nextBatch(waiting: ReadonlySet<Waiting>, maxPositions: number): readonly Waiting[] {
  const [first] = waiting
  if (first === undefined) return []
  const batch: Waiting[] = []
  let positions = 0
  for (const one of waiting) {
    if (one.session.span.start !== first.session.span.start || one.session.span.end !== first.session.span.end) continue
    if (batch.length > 0 && positions + one.positions > maxPositions) continue
    batch.push(one)
    positions += one.positions
  }
  return batch
}
