/** What the API asks about training. Requests have passed their schemas. */
import { join } from 'node:path'
import type {
  DataFile,
  DataInspectEvent,
  DataInspectRequest,
  Protection,
  RunAction,
  RunDetail,
  RunPlan,
  RunSummary,
  TrainRequest,
  UploadAnswer,
  UploadRequest,
} from '#contracts/api/training.ts'
import { CodedError } from '#contracts/errors.ts'
import type { DataSource } from '#core/ports/data-source.ts'
import type { RunStore } from '#core/ports/run-store.ts'
import { defaultSequenceLength } from '#core/training/make-plan.ts'
import { failureOf } from './failure.ts'
import { type PlanRunComponents, planRun } from './runs/plan-run.ts'
import { readData } from './runs/read-data.ts'
import type { Runs } from './runs/runs.ts'
import { workEvents } from './work-events.ts'

export interface TrainingDesk {
  upload(piece: UploadRequest): Promise<UploadAnswer>
  inspect(request: DataInspectRequest, signal?: AbortSignal): AsyncGenerator<DataInspectEvent, void, undefined>
  plan(request: TrainRequest, signal?: AbortSignal): Promise<RunPlan>
  start(request: TrainRequest, signal?: AbortSignal): Promise<RunSummary>
  runs(): Promise<RunSummary[]>
  show(id: string): Promise<RunDetail>
  watch(id: string, signal?: AbortSignal): AsyncGenerator<RunDetail, void, undefined>
  act(id: string, action: RunAction): Promise<{ run: RunSummary | null }>
}

export interface TrainingDeskComponents extends PlanRunComponents {
  readonly runs: Runs
  readonly data: DataSource
  readonly store: Pick<RunStore, 'list' | 'directory' | 'clear'>
  readonly newRunId: () => string
}

/** `model` is meant where a request names none. */
export function createTrainingDesk(components: TrainingDeskComponents, init: { readonly model: string }): TrainingDesk {
  const { data, runs } = components
  const plan = (request: TrainRequest, signal?: AbortSignal) =>
    planRun(components, { ...request, model: request.model ?? init.model }, signal)

  return {
    upload: ({ bytes, ...piece }) => data.upload({ ...piece, bytes: Buffer.from(bytes, 'base64') }),
    inspect: (request, signal) => inspect(components, { ...request, model: request.model ?? init.model }, signal),
    plan,
    async start(request, signal) {
      const planned = await plan(request, signal)
      const [obstacle] = planned.obstacles
      if (obstacle) throw new CodedError(obstacle.code, `the run cannot start: ${obstacle.code}`, obstacle.params)
      const id = components.newRunId()
      try {
        return await runs.add(id, { ...planned, request: await keepData(components, id, planned.request) })
      } catch (error) {
        await components.store.clear(id)
        throw error
      }
    },
    runs: runs.list,
    show: runs.show,
    watch: runs.watch,
    act: async (id, action) => ({ run: await runs.act(id, action) }),
  }
}

/** Reads all of it once. Ends with one `done` or `error` event. */
async function* inspect(
  { data, models }: Pick<TrainingDeskComponents, 'data' | 'models'>,
  request: DataInspectRequest & { readonly model: string },
  signal: AbortSignal | undefined,
): AsyncGenerator<DataInspectEvent, void, undefined> {
  try {
    yield* workEvents<DataInspectEvent>(async (tell, left) => {
      const model = await models.open(request.model)
      try {
        const { preview } = await readData(data, model, request.files, {
          sequenceLength: request.sequenceLength ?? defaultSequenceLength(model.manifest.config),
          signal: left,
          onBytes: createPercentSieve((progress) => tell({ type: 'progress', ...progress })),
        })
        tell({ type: 'done', preview })
      } finally {
        await model.close()
      }
    }, signal)
  } catch (error) {
    yield { type: 'error', ...failureOf(error) }
  }
}

type BytesRead = { readonly bytesDone: number; readonly bytesTotal: number }

/** Lets one message a percent through. */
function createPercentSieve(tell: (progress: BytesRead) => void): (progress: BytesRead) => void {
  let told = -1
  return (progress) => {
    const percent = Math.floor((100 * progress.bytesDone) / Math.max(1, progress.bytesTotal))
    if (percent === told) return
    told = percent
    tell(progress)
  }
}

/** A run has its data whatever becomes of the originals. */
async function keepData(
  { data, store }: Pick<TrainingDeskComponents, 'data' | 'store'>,
  id: string,
  request: TrainRequest,
): Promise<TrainRequest> {
  const directory = await store.directory(id)
  const keep = async (files: readonly DataFile[], name: string) => [...(await data.keep(files, join(directory, name)))]
  const { protection } = request
  const kept: Protection =
    protection.kind === 'files' ? { ...protection, files: await keep(protection.files, 'base-text') } : protection
  return { ...request, data: await keep(request.data, 'data'), protection: kept }
}
