/** What this machine computes with: what is known of it, measuring it anew, and the owner's choice. */
import type { EngineMeasureEvent, EngineOverview, EngineWish } from '#contracts/api/engine.ts'
import { toFailure } from '../client/failure.ts'
import type { Client } from '../client/link.ts'
import type { Failure } from '../text/errors.ts'
import type { Session } from './session.svelte.ts'

export type EngineMeasuring = Extract<EngineMeasureEvent, { type: 'looking' | 'progress' }>

export type EngineState = {
  /** Kept, and growing old, while the connection is lost. */
  readonly overview: EngineOverview | null
  readonly asking: 'overview' | 'choice' | null
  readonly failure: Failure | null
  /** Null while nothing is being measured for this page. */
  readonly measuring: EngineMeasuring | null
  /** With `look`, engines that were not tried yet are tried first: seconds. */
  load(options: { look: boolean }): Promise<void>
  /** True when the node has it. */
  choose(wish: EngineWish | null): Promise<boolean>
  /** True when it was measured to the end. */
  measure(): Promise<boolean>
  stopMeasuring(): void
}

export function createEngineState(session: Session): EngineState {
  let overview = $state.raw<EngineOverview | null>(null)
  let asking = $state.raw<'overview' | 'choice' | null>(null)
  let failure = $state.raw<Failure | null>(null)
  let measuring = $state.raw<EngineMeasuring | null>(null)
  let waiting: { look: boolean } | null = null
  let abort: AbortController | null = null

  async function ask(what: 'overview' | 'choice', call: (client: Client) => Promise<EngineOverview>): Promise<boolean> {
    const { client } = session
    if (client === null || asking !== null) return false
    asking = what
    failure = null
    try {
      overview = await call(client)
      return true
    } catch (error) {
      failure = toFailure(error)
      return false
    } finally {
      asking = null
      const next = waiting
      waiting = null
      if (next !== null && failure === null) void load(next)
    }
  }

  /** One call is under way, and at most one waits. */
  async function load(options: { look: boolean }): Promise<void> {
    if (asking === null) await ask('overview', (client) => client.engine.overview(options))
    else waiting = { look: options.look || waiting?.look === true }
  }

  async function follow(client: Client, signal: AbortSignal): Promise<boolean> {
    for await (const event of await client.engine.measure(undefined, { signal })) {
      if (event.type === 'error') failure = { code: event.code, params: event.params }
      else if (event.type === 'done') overview = event.overview
      else measuring = event
      if (event.type === 'done') return true
    }
    return false
  }

  return {
    get overview() {
      return overview
    },
    get asking() {
      return asking
    },
    get failure() {
      return failure
    },
    get measuring() {
      return measuring
    },
    load,
    choose: (wish) => ask('choice', (client) => client.engine.choose(wish)),
    async measure() {
      const { client } = session
      if (client === null || measuring !== null) return false
      abort = new AbortController()
      const { signal } = abort
      measuring = { type: 'looking' }
      failure = null
      try {
        return await follow(client, signal)
      } catch (error) {
        if (!signal.aborted) failure = toFailure(error)
        return false
      } finally {
        measuring = null
      }
    },
    stopMeasuring: () => abort?.abort(),
  }
}
