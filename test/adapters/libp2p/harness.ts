/** Real nodes in this process, on loopback, that know the first of them; and peers that speak raw libp2p to them. */
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { defaultTimeouts, type Timeouts } from '#adapters/libp2p/limits.ts'
import { createSwarmNode, type SwarmNode } from '#adapters/libp2p/node.ts'
import { createSwarmOn, type Libp2pSwarm } from '#adapters/libp2p/swarm.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Swarm } from '#core/ports/swarm.ts'
import type { SwarmHarness } from '#test/compliance/swarm.ts'
import { createFakeClock } from '#test/fakes/clock.ts'

export interface Libp2pHarness extends SwarmHarness {
  /** Knows the first node made here, or the addresses given. */
  join(bootstrap?: readonly string[]): Promise<Libp2pSwarm>
  readonly clock: Clock
  nodeOf(swarm: Swarm): SwarmNode
  /** A bare node, not joined to anything. */
  bareNode(): Promise<SwarmNode>
}

const listen = ['/ip4/127.0.0.1/tcp/0']

export async function createLibp2pHarness(
  init: { timeouts?: Partial<Timeouts>; dht?: boolean } = {},
): Promise<Libp2pHarness> {
  const clock = createFakeClock({ nowMs: Date.now() })
  const nodes = new Map<Swarm, SwarmNode>()
  const bare: SwarmNode[] = []
  const timeouts = { ...defaultTimeouts, ...init.timeouts }
  const options = { listen, mdns: false, dht: init.dht ?? false }
  let first: Swarm | null = null

  async function join(known?: readonly string[]): Promise<Libp2pSwarm> {
    const identity = await createMemoryIdentity()
    const node = await createSwarmNode({ ...options, privateKey: identity.privateKey, timeouts })
    const components = { identity, verifier: createSignatureVerifier(), clock }
    const bootstrap = known ?? first?.addresses() ?? []
    const swarm = createSwarmOn(node, components, { ...options, bootstrap, timeouts })
    nodes.set(swarm, node)
    await swarm.start()
    first ??= swarm
    return swarm
  }

  function nodeOf(swarm: Swarm): SwarmNode {
    const node = nodes.get(swarm)
    if (node === undefined) throw new Error('not a swarm of this harness')
    return node
  }

  return {
    clock,
    join,
    nodeOf,
    async bareNode() {
      const { privateKey } = await createMemoryIdentity()
      const node = await createSwarmNode({ ...options, privateKey, timeouts })
      bare.push(node)
      await node.start()
      return node
    },
    async kill(swarm) {
      const node = nodeOf(swarm)
      nodes.delete(swarm)
      node.services.gossip.publish = async () => ({ recipients: [] })
      for (const connection of node.getConnections()) connection.abort(new Error('killed'))
      await node.stop()
      await swarm.stop()
    },
    advance: clock.advance,
    async dispose() {
      await Promise.all([...nodes.keys()].map((swarm) => swarm.stop()))
      await Promise.all(bare.map((node) => node.stop()))
    },
  }
}
