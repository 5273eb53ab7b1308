/** The patches of this machine and those it has heard of: one stream while a screen shows them, and what can be asked. */
import type { PatchFetchEvent, PatchList, PatchSummary } from '#contracts/api/patches.ts'
import { toFailure } from '../client/failure.ts'
import type { Client } from '../client/link.ts'
import type { Failure } from '../text/errors.ts'
import type { PatchFilter } from './patch-list.ts'
import type { Session } from './session.svelte.ts'

export type Fetching = Omit<Extract<PatchFetchEvent, { type: 'progress' }>, 'type'> & {
  /** Peers that sent wrong bytes or went away, and why. */
  readonly dropped: readonly { readonly peerId: string; readonly why: string }[]
}

export type Search =
  | { readonly kind: 'none' | 'asking' }
  | { readonly kind: 'done'; readonly found: number }
  | { readonly kind: 'failed'; readonly failure: Failure }

export type Asking = 'share' | 'remove' | 'tag' | 'follow'

export type PatchesState = {
  /** Null until the first answer. Kept, and growing old, while the connection is lost. */
  readonly list: PatchList | null
  readonly failure: Failure | null
  readonly search: Search
  /** By digest. */
  readonly fetching: ReadonlyMap<string, Fetching>
  readonly asking: { readonly what: Asking; readonly digest: string } | null
  /** What the last question came to, when it came to nothing. */
  readonly askFailure: Failure | null
  /** Removed here a moment ago, and still to be had from others. */
  readonly removed: PatchSummary | null
  filter: PatchFilter
  /** Digests of those chosen for comparing, two at most. */
  pair: readonly string[]
  /** Keeps the list up to date until the answer is called. */
  follow(): () => void
  searchSwarm(model: string | null): Promise<void>
  stopSearching(): void
  /** True when the patch is here. */
  fetch(digest: string): Promise<boolean>
  stopFetching(digest: string): void
  share(digest: string, shared: boolean): Promise<boolean>
  remove(patch: PatchSummary): Promise<boolean>
  tag(digest: string, tag: string, isOn: boolean): Promise<boolean>
  followAuthor(patch: PatchSummary, followed: boolean): Promise<boolean>
  dismissFailure(): void
  dismissRemoved(): void
}

export const searchTimeoutMs = 5_000

export function createPatchesState(session: Session): PatchesState {
  let list = $state.raw<PatchList | null>(null)
  let failure = $state.raw<Failure | null>(null)
  let search = $state.raw<Search>({ kind: 'none' })
  let fetching = $state.raw<ReadonlyMap<string, Fetching>>(new Map())
  let asking = $state.raw<{ what: Asking; digest: string } | null>(null)
  let askFailure = $state.raw<Failure | null>(null)
  let removed = $state.raw<PatchSummary | null>(null)
  let filter = $state.raw<PatchFilter>({ group: 'mine', base: null, words: '' })
  let pair = $state.raw<readonly string[]>([])
  let searching: AbortController | null = null
  const fetches = new Map<string, AbortController>()

  async function watch(client: Client, signal: AbortSignal): Promise<void> {
    failure = null
    try {
      for await (const next of await client.patches.watch({}, { signal })) {
        if (signal.aborted) return
        list = next
      }
    } catch (error) {
      if (!signal.aborted) failure = toFailure(error)
    }
  }

  function noteFetch(digest: string, to: Fetching | null): void {
    const next = new Map(fetching)
    if (to === null) next.delete(digest)
    else next.set(digest, to)
    fetching = next
  }

  async function receive(client: Client, digest: string, signal: AbortSignal): Promise<boolean> {
    for await (const event of await client.patches.fetch({ patch: digest }, { signal })) {
      const known = fetching.get(digest)
      if (event.type === 'done') return true
      if (event.type === 'error') {
        askFailure = { code: event.code, params: event.params }
        return false
      }
      if (event.type === 'dropped' && known !== undefined) {
        noteFetch(digest, { ...known, dropped: [...known.dropped, { peerId: event.peerId, why: event.why }] })
      }
      if (event.type === 'progress') {
        const { receivedBytes, sizeBytes, peerId } = event
        noteFetch(digest, { receivedBytes, sizeBytes, peerId, dropped: known?.dropped ?? [] })
      }
    }
    return false
  }

  async function ask(what: Asking, digest: string, call: (client: Client) => Promise<unknown>): Promise<boolean> {
    const { client } = session
    if (client === null || asking !== null) return false
    asking = { what, digest }
    askFailure = null
    try {
      await call(client)
      return true
    } catch (error) {
      askFailure = toFailure(error)
      return false
    } finally {
      asking = null
    }
  }

  return {
    get list() {
      return list
    },
    get failure() {
      return failure
    },
    get search() {
      return search
    },
    get fetching() {
      return fetching
    },
    get asking() {
      return asking
    },
    get askFailure() {
      return askFailure
    },
    get removed() {
      return removed
    },
    get filter() {
      return filter
    },
    set filter(next) {
      filter = next
    },
    get pair() {
      return pair
    },
    set pair(next) {
      pair = next
    },
    follow() {
      const { client } = session
      if (client === null) return () => undefined
      const abort = new AbortController()
      void watch(client, abort.signal)
      return () => abort.abort()
    },
    async searchSwarm(model) {
      const { client } = session
      if (client === null || search.kind === 'asking') return
      searching = new AbortController()
      const { signal } = searching
      search = { kind: 'asking' }
      try {
        const { found } = await client.patches.search({ model, timeoutMs: searchTimeoutMs }, { signal })
        search = { kind: 'done', found }
      } catch (error) {
        search = signal.aborted ? { kind: 'none' } : { kind: 'failed', failure: toFailure(error) }
      }
    },
    stopSearching: () => searching?.abort(),
    async fetch(digest) {
      const { client } = session
      if (client === null || fetches.has(digest)) return false
      const abort = new AbortController()
      fetches.set(digest, abort)
      askFailure = null
      noteFetch(digest, { receivedBytes: 0, sizeBytes: 0, peerId: null, dropped: [] })
      try {
        const isHere = await receive(client, digest, abort.signal)
        if (isHere && removed?.digest === digest) removed = null
        return isHere
      } catch (error) {
        if (!abort.signal.aborted) askFailure = toFailure(error)
        return false
      } finally {
        fetches.delete(digest)
        noteFetch(digest, null)
      }
    },
    stopFetching: (digest) => fetches.get(digest)?.abort(),
    share: (digest, shared) => ask('share', digest, (client) => client.patches.share({ patch: digest, shared })),
    async remove(patch) {
      const isGone = await ask('remove', patch.digest, (client) => client.patches.remove({ patch: patch.digest }))
      if (isGone) {
        pair = pair.filter((one) => one !== patch.digest)
        removed = patch.holders > 0 ? patch : null
      }
      return isGone
    },
    tag: (digest, tag, isOn) =>
      ask('tag', digest, (client) => client.patches.tag({ tag, patch: isOn ? digest : null })),
    followAuthor: ({ digest, header: { author } }, followed) =>
      ask('follow', digest, (client) => client.patches.follow({ ...author, followed })),
    dismissFailure() {
      askFailure = null
    },
    dismissRemoved() {
      removed = null
    },
  }
}
