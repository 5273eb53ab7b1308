import { describe, expect, it } from 'vitest'
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { createLibp2pSwarm } from '#adapters/libp2p/swarm.ts'
import { createFakeClock } from '#test/fakes/clock.ts'

async function nodeAt(listen: string, bootstrap: readonly string[]) {
  const components = {
    identity: await createMemoryIdentity(),
    verifier: createSignatureVerifier(),
    clock: createFakeClock(),
  }
  return await createLibp2pSwarm(components, { listen: [listen], bootstrap, mdns: false, dht: false })
}

describe('a bootstrap address', () => {
  it('is tried until somebody answers there, and again when they have gone and come back', async () => {
    const first = await nodeAt('/ip4/127.0.0.1/tcp/0', [])
    await first.start()
    const place = first.addresses()[0]?.replace(/\/p2p\/.*/, '') ?? ''
    await first.stop()

    const client = await nodeAt('/ip4/127.0.0.1/tcp/0', [place])
    await client.start()
    expect(client.peers()).toEqual([])
    for (let round = 0; round < 2; round += 1) {
      const there = await nodeAt(place, [])
      await there.start()
      await expect.poll(() => client.peers().map((peer) => peer.peerId), { timeout: 8_000 }).toEqual([there.selfId])
      await there.stop()
      await expect.poll(() => client.peers(), { timeout: 5_000 }).toEqual([])
    }
    await client.stop()
  })

  it('that is nonsense, or our own, harms nothing', async () => {
    const node = await nodeAt('/ip4/127.0.0.1/tcp/0', ['nonsense', '/ip4/127.0.0.1/tcp/1'])
    await node.start()
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(node.peers()).toEqual([])
    await node.stop()
  })

  it('to listen on that is taken is an error with a name', async () => {
    const first = await nodeAt('/ip4/127.0.0.1/tcp/0', [])
    await first.start()
    const second = await nodeAt(first.addresses()[0]?.replace(/\/p2p\/.*/, '') ?? '', [])
    await expect(second.start()).rejects.toMatchObject({ code: 'port-in-use' })
    await second.stop()
    await first.stop()
  })
})
