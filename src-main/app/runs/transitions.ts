/** What may be asked of a run in which state. Pure; whoever carries runs out does what comes of it. */
import type { RunAction, RunState } from '#contracts/api/training.ts'
import { RunStateError } from '#core/errors.ts'

/** `queue`: it is to be carried out. The others end what is under way first. */
export type Transition = 'queue' | 'queue-to-finish' | 'pause' | 'stop' | 'remove' | 'nothing'

type StateKind = RunState['kind']

const allowed: Readonly<Record<Exclude<RunAction, 'remove'>, readonly StateKind[]>> = {
  pause: ['waiting', 'running'],
  resume: ['paused', 'stopped', 'failed'],
  stop: ['waiting', 'running', 'paused', 'failed'],
  finish: ['waiting', 'running', 'paused', 'stopped', 'failed'],
}

/** Where the wish is fulfilled already. */
const already: Readonly<Partial<Record<RunAction, readonly StateKind[]>>> = {
  pause: ['paused'],
  resume: ['waiting', 'running'],
  stop: ['stopped'],
}

/** Throws `RunStateError` for what cannot be done: a patch of a run that has not trained yet, anything to one that is over. */
export function transitionFor(
  run: { readonly id: string; readonly state: RunState; readonly step: number },
  action: RunAction,
): Transition {
  const { kind } = run.state
  if (action === 'remove') return 'remove'
  if (already[action]?.includes(kind)) return 'nothing'
  if (!allowed[action].includes(kind)) throw new RunStateError(run.id, kind, action)
  if (action === 'finish') {
    if (run.step === 0) throw new RunStateError(run.id, 'not training yet', action)
    return 'queue-to-finish'
  }
  return action === 'resume' ? 'queue' : action
}

/** Those that go on by themselves when the node starts. */
export function isUnfinished({ kind }: RunState): boolean {
  return kind === 'waiting' || kind === 'running'
}
