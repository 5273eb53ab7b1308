/** What the API shows of a run. */
import type { CurvePoint, RunDetail, RunSummary } from '#contracts/api/training.ts'
import type { StoredRun } from '#core/ports/run-store.ts'
import { thinCurve } from './thin-curve.ts'

const maximumPoints = 2_000

export function summaryOf({ id, plan, state, progress }: StoredRun): RunSummary {
  const { base, createdAtMs, request } = plan
  return { id, title: request.title, base, method: request.method, createdAtMs, state, progress }
}

export function detailOf(run: StoredRun, points: readonly CurvePoint[]): RunDetail {
  const { plan, probes, result } = run
  return { ...summaryOf(run), plan, curve: thinCurve(points, maximumPoints), probes: [...probes], result }
}
