/** What is looked at closely: one patch, or the difference of two. Asked for anew whenever it is shown. */
import type { PatchDetail, PatchDiff } from '#contracts/api/patches.ts'
import { toFailure } from '../client/failure.ts'
import type { Failure } from '../text/errors.ts'
import type { Session } from './session.svelte.ts'

export type PatchView = {
  readonly detail: PatchDetail | null
  readonly diff: PatchDiff | null
  readonly failure: Failure | null
  show(patch: string): Promise<void>
  compare(left: string, right: string): Promise<void>
}

export function createPatchView(session: Session): PatchView {
  let detail = $state.raw<PatchDetail | null>(null)
  let diff = $state.raw<PatchDiff | null>(null)
  let failure = $state.raw<Failure | null>(null)
  let latest = 0

  /** An answer that another question has overtaken is not taken. */
  async function ask<T>(call: () => Promise<T> | undefined, take: (answer: T) => void): Promise<void> {
    latest += 1
    const mine = latest
    failure = null
    try {
      const answer = await call()
      if (mine === latest && answer !== undefined) take(answer)
    } catch (error) {
      if (mine === latest) failure = toFailure(error)
    }
  }

  return {
    get detail() {
      return detail
    },
    get diff() {
      return diff
    },
    get failure() {
      return failure
    },
    async show(patch) {
      if (detail?.summary.digest !== patch) detail = null
      await ask(
        () => session.client?.patches.show({ patch }),
        (answer) => {
          detail = answer
        },
      )
    },
    async compare(left, right) {
      if (diff?.left !== left || diff.right !== right) diff = null
      await ask(
        () => session.client?.patches.diff({ left, right }),
        (answer) => {
          diff = answer
        },
      )
    },
  }
}
