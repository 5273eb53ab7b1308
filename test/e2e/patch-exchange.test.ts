/** Five real nodes on loopback, each with a library on disk: what is published is found, fetched and verified by all. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createMemoryIdentity, type KeyedIdentity } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { maxClaimsPerHolder, maxClaimsPerSource } from '#adapters/libp2p/limits.ts'
import { createLibp2pSwarm, type Libp2pSwarm } from '#adapters/libp2p/swarm.ts'
import { openPatchLibrary } from '#adapters/patch-store/open-patch-library.ts'
import { createPatchSource } from '#app/patches/patch-source.ts'
import type { Digest } from '#contracts/digest.ts'
import { QuotaExceededError } from '#core/errors.ts'
import { createPatchFetcher, type PatchFetcher } from '#core/exchange/patch-fetcher.ts'
import type { PatchOffer, PatchSource } from '#core/ports/patch-exchange.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'
import { exampleBase } from '#test/contracts/patch-file/example-patches.ts'
import { type MadePatch, makePatch, pieces } from '#test/helpers/make-patch.ts'

interface Node {
  readonly identity: KeyedIdentity
  readonly swarm: Libp2pSwarm
  readonly library: PatchLibrary
  readonly source: PatchSource
  readonly fetcher: PatchFetcher
}

const verifier = createSignatureVerifier()
const clock = systemClock
const gibibyte = 2 ** 30

let folder: string
let nodes: Node[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quiltbee-exchange-'))
  nodes = []
})
afterEach(async () => {
  await Promise.all(nodes.map(({ swarm }) => swarm.stop()))
  await Promise.all(nodes.map(({ library }) => library.close()))
  rmSync(folder, { recursive: true })
})

/** Knows the first node only, unless it is told of others. */
async function start(options: { quotaBytes?: number; bootstrap?: readonly string[] } = {}): Promise<Node> {
  const identity = await createMemoryIdentity()
  const place = join(folder, String(nodes.length))
  const library = await openPatchLibrary({
    file: `${place}.db`,
    directory: place,
    quotaBytes: options.quotaBytes ?? gibibyte,
    verifier,
    clock,
  })
  const swarm = await createLibp2pSwarm(
    { identity, verifier, clock },
    {
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: options.bootstrap ?? nodes[0]?.swarm.addresses() ?? [],
      mdns: false,
      dht: true,
    },
  )
  await swarm.start()
  const exchange = swarm.patches
  const source = createPatchSource(library)
  exchange.serve(source)
  library.onChange(() => exchange.offersChanged())
  const fetcher = createPatchFetcher({ exchange, library, verifier, clock })
  const node = { identity, swarm, library, source, fetcher }
  nodes.push(node)
  return node
}

async function publish({ library }: Node, patch: MadePatch): Promise<Digest> {
  await library.add(pieces(patch.bytes, 64 * 1024), { where: 'mine' })
  await library.setShared(patch.digest, true)
  return patch.digest
}

async function findAll({ swarm }: Node, count: number): Promise<readonly Digest[]> {
  const offers = await swarm.patches.find(
    { base: exampleBase },
    { enough: (found) => found.length >= count, timeoutMs: 20_000 },
  )
  return offers.map(({ digest }) => digest)
}

async function findHolders({ swarm }: Node, patch: Digest, count: number): Promise<void> {
  const enough = ([offer]: readonly PatchOffer[]) => offer?.holders.length === count
  const [found] = await swarm.patches.find({ patch }, { enough, timeoutMs: 10_000 })
  expect(found?.holders).toHaveLength(count)
}

describe('five nodes that publish ten patches each', () => {
  it('find and fetch all fifty, verified', { timeout: 60_000 }, async () => {
    for (let count = 0; count < 5; count += 1) await start()
    const published: Digest[] = []
    for (const [number, node] of nodes.entries()) {
      for (let count = 0; count < 10; count += 1) {
        const title = `Patch ${count} of node ${number}`
        published.push(await publish(node, await makePatch({ by: node.identity, title, entries: 1_000 + 400 * count })))
      }
    }
    const startedAtMs = performance.now()
    await Promise.all(
      nodes.map(async (node) => {
        await findAll(node, 40)
        await Promise.all(published.map((digest) => node.fetcher.fetch(digest, { base: exampleBase })))
      }),
    )
    const seconds = (performance.now() - startedAtMs) / 1_000
    for (const { library } of nodes) {
      const complete = await library.list({ complete: true })
      expect(complete.map(({ digest }) => digest).sort()).toEqual([...published].sort())
      for (const { digest } of complete) expect((await library.read(digest)).deltas).toHaveLength(3)
    }
    expect(seconds).toBeLessThan(45)
  })
})

describe('a peer that serves wrong bytes', () => {
  /** Its word is good, and the bytes of its sections are not. */
  function spoiling(source: PatchSource, from: number): PatchSource {
    return {
      offered: source.offered,
      async bytes(digest, offset, length) {
        const bytes = await source.bytes(digest, offset, length)
        return bytes?.map((byte, index) => (offset + index >= from ? byte ^ 0x55 : byte)) ?? null
      },
    }
  }

  it.each([
    ['in the head', () => 40],
    ['in a section', (patch: MadePatch) => patch.head.length + 100],
  ])('%s is dropped, and the fetch completes elsewhere', { timeout: 30_000 }, async (_, from) => {
    const [honest, liar, client] = [await start(), await start(), await start()]
    const patch = await makePatch({ entries: 60_000 })
    await publish(honest, patch)
    await publish(liar, patch)
    liar.swarm.patches.serve(spoiling(liar.source, from(patch)))
    await findHolders(client, patch.digest, 2)
    // The liar is asked first, however the two were heard of: the honest one has no time at first.
    honest.swarm.patches.serve(null)
    const dropped: string[] = []
    const fetched = await client.fetcher.fetch(patch.digest, {
      onEvent(event) {
        if (event.type !== 'dropped') return
        dropped.push(event.peerId)
        if (event.peerId === liar.swarm.selfId) honest.swarm.patches.serve(honest.source)
      },
    })
    expect(fetched).toMatchObject({ complete: true, sizeBytes: patch.byteLength })
    expect(dropped).toContain(liar.swarm.selfId)
    expect((await client.library.read(patch.digest)).deltas).toHaveLength(3)
    const offers = client.swarm.patches.known(exampleBase)
    expect(offers.flatMap(({ holders }) => holders)).not.toContain(liar.swarm.selfId)
  })
})

describe('a fetch', () => {
  it('goes on where it was cut, with another peer', { timeout: 30_000 }, async () => {
    const [first, second, client] = [await start(), await start(), await start()]
    const patch = await makePatch({ tensors: 40, entries: 20_000 })
    await publish(first, patch)
    await publish(second, patch)
    await findHolders(client, patch.digest, 2)
    const cut = new AbortController()
    const fetching = client.fetcher.fetch(patch.digest, {
      signal: cut.signal,
      onEvent(event) {
        if (event.type === 'progress' && event.receivedBytes > patch.byteLength / 2) cut.abort()
      },
    })
    await expect(fetching).rejects.toThrow()
    await first.swarm.stop()
    let begunAtBytes: number | null = null
    await client.fetcher.fetch(patch.digest, {
      onEvent(event) {
        if (event.type === 'progress') begunAtBytes ??= event.receivedBytes
      },
    })
    expect(begunAtBytes).toBeGreaterThan(patch.byteLength / 2)
    expect(await client.library.bytes(patch.digest, 0, patch.byteLength)).toEqual(patch.bytes)
  })

  it('stays within the quota of the library', { timeout: 30_000 }, async () => {
    const holder = await start()
    const patches = await Promise.all(['One', 'Two', 'Three'].map((title) => makePatch({ title, entries: 20_000 })))
    for (const patch of patches) await publish(holder, patch)
    const [one, two, three] = patches
    if (!one || !two || !three) throw new Error('three were made')
    const client = await start({ quotaBytes: 2 * one.byteLength + 1_000 })
    await client.fetcher.fetch(one.digest)
    await client.fetcher.fetch(two.digest)
    await expect(client.fetcher.fetch(three.digest)).rejects.toThrow(QuotaExceededError)
    const { bytes, quotaBytes } = await client.library.usage()
    expect(bytes).toBeLessThanOrEqual(quotaBytes)
    expect((await client.library.list()).map(({ digest }) => digest).sort()).toEqual([one.digest, two.digest].sort())
  })
})

describe('a flood of announcements', () => {
  it('is bounded, and honest patches are still found', { timeout: 60_000 }, async () => {
    const [victim, honest] = [await start(), await start()]
    const patch = await makePatch()
    await publish(honest, patch)
    await findAll(victim, 1)
    const { announceFlood } = await import('./patch-flood.ts')
    const flood = await announceFlood(victim.swarm.addresses(), { announcements: 2_000, holders: 100 })
    const before = process.memoryUsage().rss
    await flood.done
    const known = victim.swarm.patches.known(null)
    const claims = known.reduce((sum, { holders }) => sum + holders.length, 0)
    // All that one neighbour can make this node remember in others' names, and what the honest one has.
    expect(flood.claims).toBeGreaterThan(10 * maxClaimsPerSource)
    expect(claims).toBeLessThanOrEqual(maxClaimsPerSource + 1)
    const byHolder = Map.groupBy(
      known.flatMap(({ holders }) => holders),
      (holder) => holder,
    )
    for (const own of byHolder.values()) expect(own.length).toBeLessThanOrEqual(maxClaimsPerHolder)
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * 2 ** 20)
    expect(await victim.fetcher.fetch(patch.digest)).toMatchObject({ complete: true })
    await flood.stop()
  })
})
