/** The training runs of this profile: the list, the one that is looked at, and what their owner can do to them. */
import type { RunAction, RunDetail, RunSummary } from '#contracts/api/training.ts'
import { toFailure } from '../client/failure.ts'
import type { Client } from '../client/link.ts'
import type { Failure } from '../text/errors.ts'
import { isUnfinished } from './run-facts.ts'
import type { Session } from './session.svelte.ts'

export type TrainingState = {
  /** Newest first; null until the first answer. Kept, and growing old, while the connection is lost. */
  readonly runs: readonly RunSummary[] | null
  /** The run that is watched; null until it has answered. */
  readonly run: RunDetail | null
  readonly failure: Failure | null
  readonly acting: { readonly id: string; readonly action: RunAction } | null
  /** Keeps the list up to date until the answer is called. */
  followRuns(): () => void
  /** Keeps one run up to date until the answer is called. */
  followRun(id: string): () => void
  /** True when the node did it. */
  act(id: string, action: RunAction): Promise<boolean>
}

export function createTrainingState(session: Session): TrainingState {
  let runs = $state.raw<readonly RunSummary[] | null>(null)
  let run = $state.raw<RunDetail | null>(null)
  let failure = $state.raw<Failure | null>(null)
  let acting = $state.raw<{ id: string; action: RunAction } | null>(null)

  function take(next: RunSummary): void {
    runs = runs?.map((one) => (one.id === next.id ? next : one)) ?? runs
  }

  async function watch(client: Client, id: string, signal: AbortSignal, take: (run: RunDetail) => void): Promise<void> {
    for await (const detail of await client.training.watch({ id }, { signal })) {
      if (signal.aborted) return
      take(detail)
    }
  }

  /** The list has no stream of its own: those that can still change are watched one by one. */
  async function load(client: Client, signal: AbortSignal): Promise<void> {
    failure = null
    try {
      const list = await client.training.runs(undefined, { signal })
      if (signal.aborted) return
      runs = list.toSorted((a, b) => b.createdAtMs - a.createdAtMs)
      await Promise.all(list.filter(isUnfinished).map(({ id }) => watch(client, id, signal, take)))
    } catch (error) {
      if (!signal.aborted) failure = toFailure(error)
    }
  }

  async function look(client: Client, id: string, signal: AbortSignal): Promise<void> {
    failure = null
    if (run?.id !== id) run = null
    const take = (detail: RunDetail): void => {
      run = detail
    }
    try {
      // Asked for first: a stream cannot say why it does not begin.
      const detail = await client.training.show({ id }, { signal })
      if (!signal.aborted) take(detail)
      await watch(client, id, signal, take)
    } catch (error) {
      if (!signal.aborted) failure = toFailure(error)
    }
  }

  function untilLeft(work: (client: Client, signal: AbortSignal) => Promise<void>): () => void {
    const { client } = session
    if (client === null) return () => undefined
    const abort = new AbortController()
    void work(client, abort.signal)
    return () => abort.abort()
  }

  return {
    get runs() {
      return runs
    },
    get run() {
      return run
    },
    get failure() {
      return failure
    },
    get acting() {
      return acting
    },
    followRuns: () => untilLeft(load),
    followRun: (id) => untilLeft((client, signal) => look(client, id, signal)),
    async act(id, action) {
      const { client } = session
      if (client === null || acting !== null) return false
      acting = { id, action }
      failure = null
      try {
        const answer = await client.training.act({ id, action })
        if (answer.run === null) runs = runs?.filter((one) => one.id !== id) ?? runs
        else take(answer.run)
        return true
      } catch (error) {
        failure = toFailure(error)
        return false
      } finally {
        acting = null
      }
    },
  }
}
