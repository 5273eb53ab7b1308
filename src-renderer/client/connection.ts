/**
 * Keeps the page connected: opens a link, exchanges versions, watches for its end, and tries again with growing pauses.
 * Everything above sees one state; nothing above ever opens a link.
 */
import { ORPCError } from '@orpc/client'
import { apiVersion } from '#contracts/api/contract.ts'
import type { Client, Link, OpenLink } from './link.ts'

export type ConnectionState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'connected'; readonly client: Client; readonly version: string }
  /** `attempt` counts the tries since the loss; `sinceMs` is when it was noticed. */
  | { readonly kind: 'lost'; readonly sinceMs: number; readonly attempt: number }
  | { readonly kind: 'incompatible'; readonly nodeVersion: number | null }

export type ConnectionComponents = {
  readonly openLink: OpenLink
  /** Pauses before the next try; resolves early when trying at once makes sense (the page became visible). */
  readonly wait: (delayMs: number, signal: AbortSignal) => Promise<void>
  readonly nowMs: () => number
}

export type Connection = {
  subscribe(listener: (state: ConnectionState) => void): () => void
  start(): void
  /** Tries now: ends the pause, or the try that hangs. Does nothing while connected. */
  retry(): void
  /** Gives up the link that is open, for when it proved useless; a new one is opened. */
  drop(): void
  stop(): void
}

const helloTimeoutMs = 10_000

/** 250 ms, doubling, at most 8 s. */
export function retryDelayMs(attempt: number): number {
  return Math.min(250 * 2 ** Math.min(attempt, 16), 8000)
}

export function createConnection(components: ConnectionComponents): Connection {
  const listeners = new Set<(state: ConnectionState) => void>()
  const life = new AbortController()
  let state: ConnectionState = { kind: 'connecting' }
  let link: Link | null = null
  /** The pause or the try under way; null while connected. */
  let current: AbortController | null = null
  let hurry = false

  function move(next: ConnectionState): void {
    state = next
    for (const listener of listeners) listener(state)
  }

  function noteLoss(): void {
    const attempt = state.kind === 'lost' ? state.attempt + 1 : 0
    const sinceMs = state.kind === 'lost' ? state.sinceMs : components.nowMs()
    move({ kind: 'lost', sinceMs, attempt })
  }

  /** One link from opening to end. True when it is worth trying again. */
  async function live(): Promise<boolean> {
    try {
      current = new AbortController()
      const signal = AbortSignal.any([life.signal, current.signal, AbortSignal.timeout(helloTimeoutMs)])
      link = await components.openLink(signal)
      const hello = await greet(link.client, signal)
      current = null
      if (hello.kind === 'incompatible') {
        move(hello)
        return false
      }
      move({ ...hello, client: link.client })
      await link.closed
    } catch {
      // Whatever kept the link from opening or answering, the remedy is the same: try again, and say so meanwhile.
    } finally {
      link?.close()
      link = null
    }
    return !life.signal.aborted
  }

  async function run(): Promise<void> {
    while (await live()) {
      noteLoss()
      if (!hurry) await rest(state.kind === 'lost' ? state.attempt : 0)
      hurry = false
      if (life.signal.aborted) return
    }
  }

  async function rest(attempt: number): Promise<void> {
    current = new AbortController()
    await components.wait(retryDelayMs(attempt), AbortSignal.any([current.signal, life.signal]))
  }

  return {
    subscribe(listener) {
      listeners.add(listener)
      listener(state)
      return () => listeners.delete(listener)
    },
    start: () => void run(),
    retry() {
      hurry = current !== null
      current?.abort()
    },
    drop: () => link?.close(),
    stop() {
      life.abort()
      link?.close()
    },
  }
}

type Hello =
  | { readonly kind: 'connected'; readonly version: string }
  | Extract<ConnectionState, { kind: 'incompatible' }>

/** A node of another version answers with its number, refuses ours, or does not understand the question. */
async function greet(client: Client, signal: AbortSignal): Promise<Hello> {
  try {
    const hello = await client.connect({ apiVersion }, { signal })
    if (hello.apiVersion !== apiVersion) return { kind: 'incompatible', nodeVersion: hello.apiVersion }
    return { kind: 'connected', version: hello.version }
  } catch (error) {
    if (error instanceof ORPCError && isRefusal(error))
      return { kind: 'incompatible', nodeVersion: nodeVersionOf(error) }
    throw error
  }
}

const refusals: ReadonlySet<unknown> = new Set(['invalid-input', 'protocol-violation'])

function isRefusal(error: ORPCError<string, unknown>): boolean {
  if (error.code === 'BAD_REQUEST' || error.code === 'NOT_FOUND') return true
  return refusals.has((error.data as { code?: unknown } | undefined)?.code)
}

function nodeVersionOf(error: ORPCError<string, unknown>): number | null {
  const version = (error.data as { params?: { apiVersion?: unknown } } | undefined)?.params?.apiVersion
  return typeof version === 'number' ? version : null
}
