/**
 * Telling a worker that hangs from one that computes. A computation may hold the worker's thread for as long as one piece of
 * it takes, and between pieces it answers pings; so a busy worker is given minutes, an idle one seconds. Time is counted in
 * looks, not by the clock: a computer that slept for an hour has looked once.
 */
export interface WatchLimits {
  readonly intervalMs: number
  /** Looks without a sign of life after which a worker with nothing to do is taken for dead. */
  readonly idleLooks: number
  /** The same for one that has been asked for something. */
  readonly busyLooks: number
}

/** 15 s and 3 minutes: a piece of the largest models on the slowest machines took seconds. */
export const watchLimits: WatchLimits = { intervalMs: 5_000, idleLooks: 3, busyLooks: 36 }

export interface WatchState {
  /** Looks in a row at which nothing had come since the one before, with a ping unanswered. */
  readonly silentLooks: number
  readonly isBusy: boolean
}

/** Pure. */
export function isHung({ silentLooks, isBusy }: WatchState, { idleLooks, busyLooks }: WatchLimits): boolean {
  return silentLooks >= (isBusy ? busyLooks : idleLooks)
}

export interface WatchedWorker {
  /** Whether it owes an answer, pings aside. */
  isBusy(): boolean
  /** Makes it give a sign of life. */
  ping(): void
  onHung(silentMs: number): void
}

export interface Watch {
  /** A sign of life. */
  heard(): void
  /** Until `goOn` the worker is held still: its silence means nothing. */
  rest(): void
  goOn(): void
  stop(): void
}

export function watchWorker(worker: WatchedWorker, limits: WatchLimits): Watch {
  let silentLooks = 0
  let isPinged = false
  let isResting = false
  const timer = setInterval(look, limits.intervalMs)
  timer.unref()

  function look(): void {
    if (isResting) return
    if (isPinged) silentLooks++
    else worker.ping()
    isPinged = true
    if (isHung({ silentLooks, isBusy: worker.isBusy() }, limits)) worker.onHung(silentLooks * limits.intervalMs)
  }
  return {
    heard() {
      silentLooks = 0
      isPinged = false
    },
    rest() {
      isResting = true
    },
    goOn() {
      isResting = false
      silentLooks = 0
    },
    stop: () => clearInterval(timer),
  }
}
