/** Whether a run may work now: what the owner allows, what the machine has left, and who else is being waited for. */
import type { Budget } from '#contracts/api/hardware.ts'
import type { RunState } from '#contracts/api/training.ts'

export type WaitReason = Extract<RunState, { kind: 'waiting' }>['reason']

export interface RunNeeds {
  readonly memoryBytes: number
  /** Its model is in memory: what it takes is not missing any more. */
  readonly loaded: boolean
}

export interface RunConditions {
  /** The one reason to wait; null when work may be done. */
  reason(needs: RunNeeds): WaitReason | null
  /** Looks anew at what takes long to find out. Never throws. */
  refresh(): Promise<void>
}

export interface RunConditionsComponents {
  /** What may be given now; null while nobody has looked. */
  readonly budget: () => Budget | null
  /** Memory that runs may take, with what they take already: of the owner's limit, what hosting leaves. */
  readonly roomBytes: () => Promise<number>
  /** Blocks are being computed for peers, or were a moment ago (`activity.ts`). */
  readonly servingActive: () => boolean
  /** The owner waits for a text on this machine. */
  readonly ownerActive: () => boolean
}

/** A run that is loaded gives its memory back only when this much of it is wanted elsewhere, not for a passing want. */
const spareShare = 0.8

export function createRunConditions(components: RunConditionsComponents): RunConditions {
  let roomBytes: number | null = null
  return {
    reason({ memoryBytes, loaded }) {
      const budget = components.budget()
      const refused = budget?.kind === 'nothing' ? budget.reason : null
      if (refused === 'paused-by-owner' || refused === 'on-battery') return refused
      const needed = loaded ? memoryBytes * spareShare : memoryBytes
      if (roomBytes !== null && roomBytes < needed) return 'memory'
      if (components.servingActive()) return 'serving'
      return components.ownerActive() ? 'owner-active' : null
    },
    async refresh() {
      roomBytes = await components.roomBytes().catch(() => null)
    },
  }
}

/** Waits for these pass by themselves within moments: what is in memory stays there. */
export function isShort(reason: WaitReason): boolean {
  return reason === 'serving' || reason === 'owner-active'
}
