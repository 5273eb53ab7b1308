/** A host in a process of its own, so that its memory can be measured apart from its attackers'. Forked by tests. */
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { createLibp2pSwarm } from '#adapters/libp2p/swarm.ts'
import { testModel } from './offers.ts'

export interface VictimReport {
  readonly addresses: readonly string[]
  readonly rssBytes: number
  readonly peakRssBytes: number
}

const swarm = await createLibp2pSwarm(
  {
    identity: await createMemoryIdentity(),
    verifier: createSignatureVerifier(),
    clock: { now: () => Date.now(), monotonicMs: () => performance.now() },
  },
  {
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: [],
    mdns: false,
    dht: true,
    timeouts: { helloMs: 300, directoryMs: 300, frameMs: 300, closeMs: 200 },
  },
)
await swarm.start()
swarm.serve({ open: async () => ({ forward: async (hidden) => hidden.map((x) => x + 1), ended: async () => {} }) })
await swarm.offer({ modelDigest: testModel, span: { start: 0, end: 2 }, maxLength: 64, nodeName: 'victim' })

let peakRssBytes = 0
setInterval(() => {
  peakRssBytes = Math.max(peakRssBytes, process.memoryUsage.rss())
}, 10)
process.on('message', () => {
  const rssBytes = process.memoryUsage.rss()
  process.send?.({
    addresses: swarm.addresses(),
    rssBytes,
    peakRssBytes: Math.max(peakRssBytes, rssBytes),
  } satisfies VictimReport)
  peakRssBytes = 0
})
process.on('disconnect', () => process.exit(0))
