import { type DataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import type { RunAction, RunDetail, RunSummary } from '#contracts/api/training.ts'
import { CodedError } from '#contracts/errors.ts'
import { connectToRunningNode } from '../node-client.ts'
import { print, printJson } from '../output.ts'
import { describeRun, describeState, shortId, tableOfRuns } from '../run-text.ts'
import { openTrainingService, type TrainingService } from '../training-service.ts'
import { cancellable } from './model-progress.ts'
import { existingProfile } from './patch-profile.ts'
import { followRun } from './run-follow.ts'

export interface RunOptions {
  readonly profile?: string
  readonly json?: true
  readonly events?: true
}

export async function listRuns(options: RunOptions): Promise<void> {
  await using runs = await openRuns(existingProfile(options))
  const all = await runs.list()
  if (options.json) return printJson(all)
  print(all.length === 0 ? 'No runs yet: "quiltbee patch train" starts one.' : tableOfRuns(all))
}

export async function showRun(name: string, options: RunOptions): Promise<void> {
  await using runs = await openRuns(existingProfile(options))
  const run = await runs.show(await idOf(runs, name))
  if (options.json) printJson(run)
  else print(describeRun(run))
}

export async function actOnRun(action: RunAction, name: string, options: RunOptions): Promise<void> {
  const directory = dataDirectory(options)
  await using service = await openTrainingService(directory)
  const id = await idOf(service, name)
  const run = await service.act(id, action)
  // With no node, what was set going goes on for as long as this process lives: so it stays until the run is at rest.
  if (service.where === 'here' && (action === 'resume' || action === 'finish')) {
    process.exitCode = await cancellable(async (signal) => (await followRun(service, id, options, signal)).code)
    return
  }
  if (options.json) printJson({ run })
  else print(run === null ? `Removed run ${shortId(id)}.` : `Run ${shortId(run.id)}: ${describeState(run.state)}.`)
}

interface RunsToLookAt extends AsyncDisposable {
  list(): Promise<readonly RunSummary[]>
  show(id: string): Promise<RunDetail>
}

/** Looking does not take the profile: beside a training in another terminal, it reads what that one keeps. */
async function openRuns(directory: DataDirectory): Promise<RunsToLookAt> {
  const connection = await connectToRunningNode(directory)
  if (connection === null) return (await import('#assembly/training-records.ts')).openRunRecords(directory)
  const { training } = connection.client
  return {
    list: () => training.runs(),
    show: (id) => training.show({ id }),
    [Symbol.asyncDispose]: async () => connection.close(),
  }
}

/** People write the first characters of an id. */
async function idOf({ list }: Pick<TrainingService, 'list'>, name: string): Promise<string> {
  const [only, ...others] = name.length < 4 ? [] : (await list()).filter(({ id }) => id.startsWith(name.toLowerCase()))
  if (only !== undefined && others.length === 0) return only.id
  const what = others.length > 0 ? `several runs begin with ${name}` : `no run called ${name}`
  throw new CodedError('run-not-found', what, { run: name })
}
