/** What the node says of itself: the one `node.watch` stream of a connection, and the two things its owner can ask. */
import type { NodeStatus } from '#contracts/api/node.ts'
import { toFailure } from '../client/failure.ts'
import type { Client } from '../client/link.ts'
import type { Failure } from '../text/errors.ts'
import type { Session } from './session.svelte.ts'

export type NodeState = {
  /** Null until the first snapshot; kept, and growing old, while the connection is lost. */
  readonly status: NodeStatus | null
  readonly receivedAtMs: number | null
  readonly asking: 'pause' | 'resume' | null
  readonly failure: Failure | null
  pause(minutes: number | null): Promise<void>
  resume(): Promise<void>
  dismissFailure(): void
}

export function createNodeState(session: Session): NodeState {
  let snapshot = $state.raw<{ status: NodeStatus; receivedAtMs: number } | null>(null)
  let asking = $state.raw<'pause' | 'resume' | null>(null)
  let failure = $state.raw<Failure | null>(null)

  function receive(status: NodeStatus): void {
    snapshot = { status, receivedAtMs: Date.now() }
  }

  /** A stream that ends while the connection stands cannot be trusted any more: connect anew. */
  async function follow(client: Client, signal: AbortSignal): Promise<void> {
    try {
      for await (const status of await client.node.watch(undefined, { signal })) receive(status)
    } catch {
      // The same remedy for an end and a failure.
    }
    if (!signal.aborted) session.drop()
  }

  async function ask(what: 'pause' | 'resume', call: (client: Client) => Promise<NodeStatus>): Promise<void> {
    const { client } = session
    if (client === null || asking !== null) return
    asking = what
    failure = null
    try {
      receive(await call(client))
    } catch (error) {
      failure = toFailure(error)
    } finally {
      asking = null
    }
  }

  session.onClient((client, signal) => void follow(client, signal))

  return {
    get status() {
      return snapshot?.status ?? null
    },
    get receivedAtMs() {
      return snapshot?.receivedAtMs ?? null
    },
    get asking() {
      return asking
    },
    get failure() {
      return failure
    },
    pause: (minutes) => ask('pause', (client) => client.node.pause({ minutes })),
    resume: () => ask('resume', (client) => client.node.resume()),
    dismissFailure() {
      failure = null
    },
  }
}
