/** Who carries runs out for a command: the node that runs on the profile, else this process. */
import { open } from 'node:fs/promises'
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import type { StandaloneTraining } from '#assembly/standalone-training.ts'
import type { RunAction, RunDetail, RunSummary, TrainRequest } from '#contracts/api/training.ts'
import type { Digest } from '#contracts/digest.ts'
import { connectToRunningNode, type NodeConnection } from './node-client.ts'

export interface TrainingService extends AsyncDisposable {
  readonly where: 'node' | 'here'
  start(request: TrainRequest, signal: AbortSignal): Promise<RunSummary>
  list(): Promise<readonly RunSummary[]>
  show(id: string): Promise<RunDetail>
  /** Now, and after every change; ends when the run is removed or `signal` fires. */
  watch(id: string, signal: AbortSignal): AsyncIterable<RunDetail>
  act(id: string, action: RunAction): Promise<RunSummary | null>
  /** Writes a patch of the library to a file. */
  save(patch: Digest, path: string): Promise<void>
}

/** Throws `profile-locked` when no node answers and yet something holds the profile. */
export async function openTrainingService(directory: DataDirectory): Promise<TrainingService> {
  const connection = await connectToRunningNode(directory)
  if (connection !== null) return ofNode(connection)
  const { openStandaloneTraining } = await import('#assembly/standalone-training.ts')
  return ofThisProcess(await openStandaloneTraining(directory))
}

function ofNode({ client, close }: NodeConnection): TrainingService {
  const { training, patches } = client
  return {
    where: 'node',
    start: (request, signal) => training.start(request, { signal }),
    list: () => training.runs(),
    show: (id) => training.show({ id }),
    async *watch(id, signal) {
      yield* await training.watch({ id }, { signal })
    },
    act: async (id, action) => (await training.act({ id, action })).run,
    save: async (patch, path) => void (await patches.export({ patch, path, format: 'patch' })),
    [Symbol.asyncDispose]: async () => close(),
  }
}

function ofThisProcess(standalone: StandaloneTraining): TrainingService {
  const { desk } = standalone
  return {
    where: 'here',
    start: desk.start,
    list: desk.runs,
    show: desk.show,
    watch: desk.watch,
    act: async (id, action) => (await desk.act(id, action)).run,
    save: (patch, path) => savePatch(standalone, patch, path),
    [Symbol.asyncDispose]: () => standalone[Symbol.asyncDispose](),
  }
}

const pieceBytes = 1024 ** 2

async function savePatch({ library }: Pick<StandaloneTraining, 'library'>, patch: Digest, path: string): Promise<void> {
  const { sizeBytes } = await library.get(patch)
  const file = await open(path, 'wx')
  try {
    for (let at = 0; at < sizeBytes; at += pieceBytes) {
      await file.appendFile(await library.bytes(patch, at, Math.min(pieceBytes, sizeBytes - at)))
    }
    await file.sync()
  } finally {
    await file.close()
  }
}
