import { existsSync } from 'node:fs'
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import { detailOf, summaryOf } from '#app/runs/run-views.ts'
import type { RunDetail, RunSummary } from '#contracts/api/training.ts'
import { RunNotFoundError } from '#core/errors.ts'
import { openProfileRuns } from './training.ts'

export interface RunRecords extends AsyncDisposable {
  list(): Promise<readonly RunSummary[]>
  show(id: string): Promise<RunDetail>
}

/** The runs of a profile as they were last kept, whoever carries them out. Makes no profile where there is none. */
export function openRunRecords(directory: DataDirectory): RunRecords {
  if (!existsSync(directory.profileDirectory)) {
    return {
      list: async () => [],
      show: async (id) => Promise.reject(new RunNotFoundError(id)),
      [Symbol.asyncDispose]: async () => {},
    }
  }
  const store = openProfileRuns(directory)
  return {
    list: async () => (await store.list()).map(summaryOf),
    show: async (id) => detailOf(await store.get(id), await store.points(id)),
    [Symbol.asyncDispose]: () => store.close(),
  }
}
