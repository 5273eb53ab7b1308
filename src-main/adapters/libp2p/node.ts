/** The libp2p node under the swarm: TCP, noise, yamux, identify, ping, gossip, and by choice the DHT and mDNS. */
import { type GossipSub, type GossipsubOpts, gossipsub } from '@libp2p/gossipsub'
import { type Identify, identify } from '@libp2p/identify'
import type { Ed25519PrivateKey, Libp2p } from '@libp2p/interface'
import { type KadDHT, type KadDHTInit, kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { noise } from '@libp2p/noise'
import { type Ping, ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { sha256 } from '@noble/hashes/sha2.js'
import { createLibp2p } from 'libp2p'
import { announceProtocol } from '#contracts/wire/announce/messages.ts'
import { patchAnnounceProtocol } from '#contracts/wire/patches/announce.ts'
import {
  gossipFrames,
  inboundConnectionsPerSecond,
  kadFrames,
  maxConnections,
  maxInboundStreamsPerConnection,
  maxIncomingPendingConnections,
  maxKadStreams,
  maxStreamWindowBytes,
  type Timeouts,
} from './limits.ts'
import { guardedComponents } from './stream-guard.ts'

export const kadProtocol = '/quiltbee/kad/1.0.0'
export const mdnsServiceTag = '_quiltbee._udp.local'

export interface NodeServices extends Record<string, unknown> {
  readonly identify: Identify
  readonly ping: Ping
  readonly gossip: GossipSub
  readonly dht?: KadDHT
}
export type SwarmNode = Libp2p<NodeServices>

export interface NodeInit {
  readonly privateKey: Ed25519PrivateKey
  readonly listen: readonly string[]
  readonly mdns: boolean
  readonly dht: boolean
  readonly timeouts: Timeouts
}

/** Not yet started. */
export async function createSwarmNode(init: NodeInit): Promise<SwarmNode> {
  return await createLibp2p<NodeServices>({
    start: false,
    privateKey: init.privateKey,
    addresses: { listen: [...init.listen] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({
        maxInboundStreams: maxInboundStreamsPerConnection,
        streamOptions: { maxStreamWindowSize: maxStreamWindowBytes },
      }),
    ],
    peerDiscovery: init.mdns ? [mdns({ serviceTag: mdnsServiceTag })] : [],
    connectionManager: {
      maxConnections,
      maxIncomingPendingConnections,
      inboundConnectionThreshold: inboundConnectionsPerSecond,
      dialTimeout: init.timeouts.dialMs,
    },
    connectionMonitor: { pingInterval: init.timeouts.pingEveryMs },
    services: {
      identify: identify(),
      ping: ping(),
      gossip: (components) => gossipsub(gossipInit)(guardedComponents(components, gossipFrames)),
      ...(init.dht ? { dht: (components) => kadDHT(dhtInit(init))(guardedComponents(components, kadFrames)) } : {}),
    },
  })
}

const gossipInit: Partial<GossipsubOpts> = {
  // Offers and announcements carry their maker's signature; a second one would only name who relayed first.
  globalSignaturePolicy: 'StrictNoSign',
  msgIdFn: (message) => sha256(message.data),
  emitSelf: false,
  doPX: false,
  fallbackToFloodsub: false,
  allowPublishToZeroTopicPeers: true,
  allowedTopics: [announceProtocol, patchAnnounceProtocol],
  maxInboundStreams: 2,
  maxInboundDataLength: gossipFrames.maximumBytes,
}

/**
 * Our own DHT. Whoever listens answers in it, and private addresses count: a swarm may live on one LAN or one machine.
 * Left to itself, libp2p would trust public addresses only.
 */
function dhtInit(init: NodeInit): KadDHTInit {
  return {
    protocol: kadProtocol,
    clientMode: init.listen.length === 0,
    peerInfoMapper: passthroughMapper,
    maxInboundStreams: maxKadStreams,
  }
}
