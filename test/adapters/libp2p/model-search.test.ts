import { afterEach, describe, expect, it } from 'vitest'
import { silentLog } from '#adapters/libp2p/log.ts'
import { cidOfModel, createModelSearch } from '#adapters/libp2p/model-search.ts'
import { createLibp2pHarness, type Libp2pHarness } from './harness.ts'
import { testModel } from './offers.ts'

let harness: Libp2pHarness | null = null
afterEach(async () => {
  await harness?.dispose()
})

describe('the DHT', () => {
  it('leads a client to a host that only a third node knows', async () => {
    harness = await createLibp2pHarness({ dht: true })
    const [third, host, client] = [await harness.bareNode(), await harness.bareNode(), await harness.bareNode()]
    await host.dial(third.getMultiaddrs())
    await client.dial(third.getMultiaddrs())
    const hosting = createModelSearch({ node: host, log: silentLog })
    const searching = createModelSearch({ node: client, log: silentLog })
    hosting.provide(testModel)
    const found = new Set<string>()
    const look = async () => {
      await searching.search(
        testModel,
        async ({ remotePeer }) => void found.add(remotePeer.toString()),
        AbortSignal.timeout(2_000),
      )
      return [...found]
    }
    await expect.poll(look, { timeout: 15_000, interval: 200 }).toEqual([host.peerId.toString()])
    hosting.stop()
  })

  it('knows a model by a CID of its digest', () => {
    const cid = cidOfModel(testModel)
    expect(cid.version).toBe(1)
    expect(Buffer.from(cid.multihash.digest).toString('hex')).toBe(testModel)
  })
})
