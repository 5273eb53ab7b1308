/**
 * Connections worth having: bootstrap addresses are dialled until they answer and again when they are gone, nodes found on
 * the way are dialled while there are few, and everyone is asked for offers as soon as it is known who they are.
 */
import type { Connection, PeerId, PeerInfo } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { ConnectedPeer } from '#core/ports/swarm.ts'
import { enoughConnections, type Timeouts } from './limits.ts'
import type { Log } from './log.ts'
import type { SwarmNode } from './node.ts'

export interface Neighbours {
  peers(): readonly ConnectedPeer[]
  rttMs(peerId: string): number | null
  start(): void
  stop(): void
}

const bootstrapTickMs = 500
const maximumBackoffMs = 30_000

interface BootstrapPlace {
  readonly address: string
  peerId: PeerId | null
  failures: number
  nextTryAtMs: number
  dialling: boolean
}

export function createNeighbours(
  components: {
    readonly node: SwarmNode
    readonly log: Log
    /** Called once for each connection, when the peer's protocols are known. */
    readonly onMeet: (connection: Connection) => void
    readonly onChange: () => void
  },
  init: { readonly bootstrap: readonly string[]; readonly timeouts: Timeouts },
): Neighbours {
  const { node, log, onMeet, onChange } = components
  const firstPings = new Map<string, number>()
  const stopping = new AbortController()
  let timer: ReturnType<typeof setInterval> | undefined
  const places = init.bootstrap.map((address): BootstrapPlace => {
    return { address, peerId: null, failures: 0, nextTryAtMs: 0, dialling: false }
  })

  const signal = () => AbortSignal.any([stopping.signal, AbortSignal.timeout(init.timeouts.dialMs)])

  function tendBootstrap(): void {
    for (const place of places) {
      const connected = place.peerId !== null && node.getConnections(place.peerId).length > 0
      if (connected || place.dialling || performance.now() < place.nextTryAtMs) continue
      void dialPlace(place)
    }
  }

  async function dialPlace(place: BootstrapPlace): Promise<void> {
    place.dialling = true
    try {
      const connection = await node.dial(multiaddr(place.address), { signal: signal() })
      place.peerId = connection.remotePeer
      place.failures = 0
    } catch (error) {
      place.failures += 1
      log.debug({ address: place.address, error }, 'bootstrap address not reached')
    }
    const backoffMs = Math.min(bootstrapTickMs * 2 ** place.failures, maximumBackoffMs)
    place.nextTryAtMs = performance.now() + backoffMs
    place.dialling = false
  }

  async function dialFound({ id, multiaddrs }: PeerInfo): Promise<void> {
    if (id.equals(node.peerId) || node.getConnections().length >= enoughConnections) return
    if (node.getConnections(id).length > 0 || multiaddrs.length === 0) return
    try {
      await node.dial(id, { signal: signal() })
    } catch (error) {
      log.debug({ peerId: id.toString(), error }, 'a node that was found cannot be reached')
    }
  }

  async function meet(connection: Connection): Promise<void> {
    onMeet(connection)
    onChange()
    const peerId = connection.remotePeer.toString()
    try {
      firstPings.set(peerId, await node.services.ping.ping(connection.remotePeer, { signal: signal() }))
      onChange()
    } catch (error) {
      log.debug({ peerId, error }, 'no answer to ping')
    }
  }

  function rttMs(connections: readonly Connection[], peerId: string): number | null {
    return connections.find((connection) => connection.rtt !== undefined)?.rtt ?? firstPings.get(peerId) ?? null
  }

  function connectionsByPeer(): Map<string, Connection[]> {
    return Map.groupBy(node.getConnections(), (connection) => connection.remotePeer.toString())
  }

  node.addEventListener('peer:discovery', (event) => void dialFound(event.detail))
  node.addEventListener('peer:identify', (event) => void meet(event.detail.connection))
  node.addEventListener('peer:disconnect', (event) => {
    firstPings.delete(event.detail.toString())
    onChange()
  })

  return {
    peers: () =>
      [...connectionsByPeer()].map(([peerId, connections]) => ({
        peerId,
        addresses: connections.map((connection) => connection.remoteAddr.toString()),
        direction: connections[0]?.direction ?? 'outbound',
        rttMs: rttMs(connections, peerId),
      })),
    rttMs: (peerId) => rttMs(connectionsByPeer().get(peerId) ?? [], peerId),
    start() {
      tendBootstrap()
      timer = setInterval(tendBootstrap, bootstrapTickMs)
      timer.unref()
    },
    stop() {
      clearInterval(timer)
      stopping.abort()
    },
  }
}
