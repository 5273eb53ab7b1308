/** Trying again, with growing pauses, for as long as tries bring something. */
import { setTimeout as wait } from 'node:timers/promises'
import { DownloadError } from '#core/errors.ts'
import { PassingFailure, unreachableError } from './failures.ts'

export interface RetryPolicy {
  /** Tries one after the other that brought too little. */
  readonly fruitlessTries: number
  /** A try that brings as much counts as the first again. */
  readonly fruitfulBytes: number
  /** Doubled with every fruitless try. */
  readonly firstPauseMs: number
  readonly longestPauseMs: number
  /** A server that asks for more patience is given up. */
  readonly longestRetryAfterMs: number
}

export const usualRetries: RetryPolicy = {
  fruitlessTries: 8,
  fruitfulBytes: 1 << 20,
  firstPauseMs: 500,
  longestPauseMs: 30_000,
  longestRetryAfterMs: 120_000,
}

export type Pause = (milliseconds: number, signal: AbortSignal | undefined) => Promise<void>

export const realPause: Pause = async (milliseconds, signal) => {
  await wait(milliseconds, undefined, signal === undefined ? {} : { signal })
}

export interface RetryInit {
  /** What is fetched, for the error. */
  readonly where: string
  readonly policy: RetryPolicy
  readonly pause: Pause
  readonly signal: AbortSignal | undefined
  /** Bytes brought so far by all tries; 0 for what is one answer. */
  readonly bytesDone: () => number
  /** Do not wait for a network that is not there. */
  readonly failsWhenUnreachable: boolean
}

/** Runs `attempt` until it succeeds or fails for good. Throws `DownloadError` with the last try's reason. */
export async function withRetries<T>(init: RetryInit, attempt: () => Promise<T>): Promise<T> {
  let fruitless = 0
  for (;;) {
    init.signal?.throwIfAborted()
    const before = init.bytesDone()
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof PassingFailure)) throw error
      fruitless = init.bytesDone() - before >= init.policy.fruitfulBytes ? 1 : fruitless + 1
      await init.pause(decidePause(init, error, fruitless), init.signal)
    }
  }
}

/** Pure: how long to wait after a failure. Throws `DownloadError` when enough has been tried. */
function decidePause(init: RetryInit, failure: PassingFailure, fruitless: number): number {
  const { where, policy } = init
  if (failure.isUnreachable && (init.failsWhenUnreachable || fruitless >= policy.fruitlessTries)) {
    throw unreachableError(where, failure)
  }
  const asked = failure.retryAfterMs ?? 0
  if (asked > policy.longestRetryAfterMs) {
    throw new DownloadError(where, `${failure.message}, for ${Math.ceil(asked / 1000)} seconds`, { cause: failure })
  }
  if (fruitless >= policy.fruitlessTries) {
    throw new DownloadError(where, `${failure.message}, ${fruitless} tries in a row`, { cause: failure })
  }
  return Math.max(asked, Math.min(policy.longestPauseMs, policy.firstPauseMs * 2 ** (fruitless - 1)))
}
