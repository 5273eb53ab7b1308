/** What follows from the state of a run: what its owner can do, and how far it is. Pure. */
import {
  type CurvePoint,
  type RunAction,
  type RunDetail,
  type RunPhase,
  type RunState,
  type RunSummary,
  runPhases,
} from '#contracts/api/training.ts'

export function isUnfinished({ state }: Pick<RunSummary, 'state'>): boolean {
  return state.kind === 'waiting' || state.kind === 'running' || state.kind === 'paused'
}

/** In the order they are offered. A patch can be made only of steps that were taken. */
export function actionsOf(state: RunState, step: number): readonly RunAction[] {
  const finish: readonly RunAction[] = step > 0 ? ['finish'] : []
  switch (state.kind) {
    case 'running':
      return isBeyondTraining(state.phase) ? ['pause', 'stop'] : ['pause', ...finish, 'stop']
    case 'waiting':
      return ['pause', ...finish, 'stop']
    case 'paused':
      return ['resume', ...finish, 'stop']
    case 'stopped':
    case 'failed':
      return ['resume', ...finish, 'remove']
    case 'finished':
      return ['remove']
  }
}

function isBeyondTraining(phase: RunPhase): boolean {
  return runPhases.indexOf(phase) > runPhases.indexOf('training')
}

export type CurveRow = { readonly step: number; readonly train: number | null; readonly heldOut: number | null }

/** The curve as a table: steps where the held-out loss was measured, and the latest; at most about a hundred of them. */
export function curveRows(curve: readonly CurvePoint[], most = 100): CurveRow[] {
  const measured = curve.filter((point, at) => point.heldOut !== null || at === curve.length - 1)
  const stride = Math.ceil(measured.length / most)
  return measured
    .filter((_, at) => at % stride === 0 || at === measured.length - 1)
    .map(({ step, train, heldOut }) => ({ step, train, heldOut }))
}

/** The rate that came to the lowest loss; null while none has. */
export function bestProbe(probes: RunDetail['probes']): RunDetail['probes'][number] | null {
  const measured = probes.filter((probe) => probe.heldOutLoss !== null)
  return measured.toSorted((a, b) => (a.heldOutLoss ?? 0) - (b.heldOutLoss ?? 0))[0] ?? null
}
