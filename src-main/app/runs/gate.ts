/**
 * What a run passes before every piece of work. It holds the run while somebody else is to be waited for, says so when
 * that takes longer than a moment, and gives the run up, so that its memory is free, when it will take long.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '#core/ports/clock.ts'
import { isShort, type RunConditions, type WaitReason } from './conditions.ts'

export interface GateInit {
  readonly memoryBytes: number
  /** Held for so long that it should be known; null: let go again. */
  readonly onHeld: (reason: WaitReason | null) => void
  /** Called when the run should give back what it holds; `wait` then goes on holding until its signal is aborted. */
  readonly onGiveUp: () => void
}

export interface Gate {
  /** Resolves when work may be done. Rejects with the signal's reason. */
  wait(options: { readonly loaded: boolean; readonly signal: AbortSignal }): Promise<void>
  /** The piece under way stands still, or goes on again. Also said when it takes longer than a moment. */
  suspended(isSuspended: boolean): void
  /** Says nothing of suspensions any more. */
  close(): void
}

const lookEveryMs = 50
const refreshEveryMs = 15_000
/** Shorter waits are nobody's concern. */
export const sayAfterMs = 500
export const giveUpAfterMs = 20_000

export function createGate(
  { conditions, clock }: { readonly conditions: RunConditions; readonly clock: Clock },
  init: GateInit,
): Gate {
  let refreshedAtMs = Number.NEGATIVE_INFINITY
  let said: WaitReason | null = null
  let waiting = false
  let suspension: NodeJS.Timeout | undefined

  /** In the background: looking at the machine may take seconds, and nothing has to wait for it. */
  function refreshInTurn(): Promise<void> | null {
    if (clock.monotonicMs() - refreshedAtMs < refreshEveryMs) return null
    refreshedAtMs = clock.monotonicMs()
    return conditions.refresh()
  }

  function say(reason: WaitReason | null): void {
    if (reason === said) return
    said = reason
    init.onHeld(reason)
  }

  async function untilFree(loaded: boolean, signal: AbortSignal): Promise<void> {
    const refreshing = refreshInTurn()
    // Before anything is loaded, what the machine has left must be known.
    if (!loaded) await refreshing
    const sinceMs = clock.monotonicMs()
    for (;;) {
      signal.throwIfAborted()
      const reason = conditions.reason({ memoryBytes: init.memoryBytes, loaded })
      if (reason === null) return say(null)
      const heldMs = clock.monotonicMs() - sinceMs
      if (heldMs >= sayAfterMs || !isShort(reason)) say(reason)
      if (loaded && !isShort(reason) && heldMs >= giveUpAfterMs) init.onGiveUp()
      await sleep(lookEveryMs, undefined, { signal })
      void refreshInTurn()
    }
  }

  return {
    async wait({ loaded, signal }) {
      clearTimeout(suspension)
      waiting = true
      try {
        await untilFree(loaded, signal)
      } finally {
        waiting = false
      }
    },
    suspended(isSuspended) {
      clearTimeout(suspension)
      if (waiting) return
      if (isSuspended) suspension = setTimeout(() => say('serving'), sayAfterMs)
      else say(null)
    },
    close: () => clearTimeout(suspension),
  }
}
