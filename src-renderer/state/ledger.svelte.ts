/** The ledger as the page holds it: pages of rows, a filter, and the walk along the whole chain. */
import type { LedgerRow, LedgerVerdict } from '#contracts/api/ledger.ts'
import { toFailure } from '../client/failure.ts'
import type { Client } from '../client/link.ts'
import type { Failure } from '../text/errors.ts'
import { type LedgerPages, withNewest, withOlder } from './ledger-pages.ts'
import type { Session } from './session.svelte.ts'

export type LedgerFilter = LedgerRow['kind'] | null

export type Verification =
  | { readonly kind: 'running'; readonly checked: number; readonly total: number | null }
  | { readonly kind: 'verdict'; readonly verdict: LedgerVerdict; readonly atMs: number }
  | { readonly kind: 'failed'; readonly failure: Failure }

export type LedgerState = {
  readonly pages: LedgerPages | null
  readonly filter: LedgerFilter
  readonly busy: boolean
  readonly failure: Failure | null
  readonly verification: Verification | null
  /** Brings the newest rows; what is here stays. */
  refresh(): Promise<void>
  loadOlder(): Promise<void>
  choose(filter: LedgerFilter): Promise<void>
  verify(): Promise<void>
  stopVerifying(): void
}

export function createLedgerState(session: Session): LedgerState {
  let pages = $state.raw<LedgerPages | null>(null)
  let filter = $state.raw<LedgerFilter>(null)
  let busy = $state.raw(false)
  let failure = $state.raw<Failure | null>(null)
  let verification = $state.raw<Verification | null>(null)
  let abort: AbortController | null = null
  let again = false

  /** Takes a page in, unless the filter has changed since it was asked for. */
  async function fetchPage(before: number | null, take: (page: LedgerPages) => LedgerPages): Promise<void> {
    const { client } = session
    if (client === null) return
    const asked = filter
    busy = true
    failure = null
    try {
      const page = await client.ledger.list({ before, kind: asked })
      if (asked === filter) pages = take(page)
    } catch (error) {
      failure = toFailure(error)
    } finally {
      busy = false
    }
  }

  /** Entries may come faster than answers: one call is under way, and at most one waits. */
  async function refresh(): Promise<void> {
    if (busy) {
      again = true
      return
    }
    do {
      again = false
      await fetchPage(null, (page) => (pages === null ? page : withNewest(pages, page)))
    } while (again)
  }

  async function walk(client: Client, signal: AbortSignal): Promise<void> {
    for await (const event of await client.ledger.verify(undefined, { signal })) {
      if (event.type === 'progress') verification = { kind: 'running', checked: event.checked, total: event.total }
      else verification = { kind: 'verdict', verdict: event.verdict, atMs: Date.now() }
    }
  }

  return {
    get pages() {
      return pages
    },
    get filter() {
      return filter
    },
    get busy() {
      return busy
    },
    get failure() {
      return failure
    },
    get verification() {
      return verification
    },
    refresh,
    async loadOlder() {
      if (busy || pages === null || pages.next === null) return
      await fetchPage(pages.next, (page) => (pages === null ? page : withOlder(pages, page)))
      if (again) await refresh()
    },
    async choose(next) {
      if (next === filter) return
      filter = next
      pages = null
      await refresh()
    },
    async verify() {
      const { client } = session
      if (client === null || verification?.kind === 'running') return
      abort = new AbortController()
      const { signal } = abort
      verification = { kind: 'running', checked: 0, total: null }
      try {
        await walk(client, signal)
        if (verification.kind === 'running')
          verification = { kind: 'failed', failure: { code: 'internal', params: {} } }
      } catch (error) {
        verification = signal.aborted ? null : { kind: 'failed', failure: toFailure(error) }
      }
    },
    stopVerifying: () => abort?.abort(),
  }
}
