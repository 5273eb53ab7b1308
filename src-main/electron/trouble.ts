/** Tells the owner, without a page, that something is wrong for good, and asks what to do. One question at a time. */
import type { DialogPart } from './electron-parts.ts'
import type { NodeState } from './node-supervisor.ts'
import { failures, text } from './text.ts'

export interface Trouble {
  readonly title: string
  readonly detail: string
}

/** What to tell of a node that will not come back by itself; null for all other states. */
export function nodeTrouble(state: NodeState): Trouble | null {
  if (state.kind === 'crashing') return { title: text.troubleTitle, detail: text.crashingDetail(state.exitCode) }
  if (state.kind === 'refused') {
    return { title: text.troubleTitle, detail: `${failures[state.code]}. ${text.refusedDetail}` }
  }
  return null
}

export interface TroubleComponents {
  readonly dialog: DialogPart
  readonly quit: () => void
}

/** Returns `tell(trouble, retry)`: shows the trouble, then calls `retry`, quits, or leaves things as they are. */
export function createTroubleDialog(components: TroubleComponents): (trouble: Trouble, retry: () => void) => void {
  let asking = false
  return (trouble, retry) => {
    if (asking) return
    asking = true
    const question = { type: 'error', message: trouble.title, detail: trouble.detail, noLink: true } as const
    const buttons = [text.tryAgain, text.notNow, text.quit]
    void components.dialog.showMessageBox({ ...question, buttons, defaultId: 0, cancelId: 1 }).then(({ response }) => {
      asking = false
      if (response === 0) retry()
      if (response === 2) components.quit()
    })
  }
}
