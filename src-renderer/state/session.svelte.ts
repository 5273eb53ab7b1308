/** The connection as runes see it, and the client while there is one. */
import type { Connection, ConnectionState } from '../client/connection.ts'
import type { Client } from '../client/link.ts'

export type Session = {
  readonly state: ConnectionState
  /** Null while there is no connection. */
  readonly client: Client | null
  /** The version of the node last spoken to. */
  readonly version: string | null
  retry(): void
  drop(): void
  /** Called with each new client, and told by the signal when it is gone. */
  onClient(listener: (client: Client, signal: AbortSignal) => void): void
}

export function createSession(connection: Connection): Session {
  let state = $state.raw<ConnectionState>({ kind: 'connecting' })
  let version = $state.raw<string | null>(null)
  let current: AbortController | null = null
  const listeners: ((client: Client, signal: AbortSignal) => void)[] = []

  connection.subscribe((next) => {
    current?.abort()
    current = null
    state = next
    if (next.kind !== 'connected') return
    version = next.version
    current = new AbortController()
    for (const listener of listeners) listener(next.client, current.signal)
  })

  return {
    get state() {
      return state
    },
    get client() {
      return state.kind === 'connected' ? state.client : null
    },
    get version() {
      return version
    },
    retry: () => connection.retry(),
    drop: () => connection.drop(),
    onClient: (listener) => listeners.push(listener),
  }
}
