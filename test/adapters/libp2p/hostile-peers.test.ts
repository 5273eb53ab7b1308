import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createFrameChannel } from '#adapters/libp2p/frame-channel.ts'
import { maxSessionsPerPeer } from '#adapters/libp2p/limits.ts'
import { kadProtocol, type SwarmNode } from '#adapters/libp2p/node.ts'
import { announceProtocol, encodeOffer, encodeSignedOffer } from '#contracts/wire/announce/messages.ts'
import { directoryProtocol, encodeAnswer, encodeQuestion } from '#contracts/wire/directory/messages.ts'
import { inferenceProtocol } from '#contracts/wire/inference/messages.ts'
import type { Swarm } from '#core/ports/swarm.ts'
import { createLibp2pHarness, type Libp2pHarness } from './harness.ts'
import { offerBy, signedBy, testModel } from './offers.ts'
import { hostSays, patience, rawChannel, rawHiddenSize, rawOpen, rawStream, tensorParts } from './raw-peer.ts'

const meshProtocol = '/meshsub/1.2.0'
const protocols = [
  directoryProtocol,
  inferenceProtocol,
  meshProtocol,
  kadProtocol,
  '/ipfs/id/1.0.0',
  '/ipfs/ping/1.0.0',
]
const timeouts = { helloMs: 300, directoryMs: 300, frameMs: 300, closeMs: 200 }
const memoryLimitBytes = 64 * 1024 * 1024

let harness: Libp2pHarness
let victim: Swarm
let enemy: SwarmNode

beforeEach(async () => {
  harness = await createLibp2pHarness({ timeouts, dht: true })
  victim = await harness.join()
  victim.serve({ open: async () => ({ forward: async (hidden) => hidden.map((x) => x + 1), ended: async () => {} }) })
  await victim.offer({ modelDigest: testModel, span: { start: 0, end: 2 }, maxLength: 64, nodeName: 'victim' })
  enemy = await harness.bareNode()
})
afterEach(async () => {
  await harness.dispose()
})

/** Somebody honest still finds the victim and gets an answer. */
async function expectService(): Promise<void> {
  const honest = await harness.join()
  const offers = await honest.findOffers(testModel, { enough: (found) => found.length > 0, timeoutMs: 5_000 })
  expect(offers.map((offer) => offer.peerId)).toEqual([victim.selfId])
  const request = {
    sessionId: crypto.randomUUID(),
    modelDigest: testModel,
    span: { start: 0, end: 2 },
    maxLength: 64,
    hiddenSize: rawHiddenSize,
  }
  const session = await honest.openSession(victim.selfId, request)
  const step = new Float32Array(rawHiddenSize).fill(1)
  expect(await session.forward(step, 0)).toEqual(step.map(() => 2))
  await session.close()
  await honest.stop()
}

async function expectBounded(attack: () => Promise<void>): Promise<void> {
  globalThis.gc?.()
  const before = process.memoryUsage()
  await attack()
  const after = process.memoryUsage()
  expect(after.rss - before.rss).toBeLessThan(memoryLimitBytes)
  expect(after.external + after.heapUsed - before.external - before.heapUsed).toBeLessThan(memoryLimitBytes)
}

describe('a hostile peer', () => {
  it.each(protocols)('that sends random bytes on %s gets nothing out of it', async (protocol) => {
    for (let attempt = 0; attempt < 20; attempt += 1) {
      try {
        const stream = await rawStream(enemy, victim, protocol)
        stream.send(crypto.getRandomValues(new Uint8Array(1 + attempt * 200)))
        await stream.close({ signal: AbortSignal.timeout(100) })
      } catch {
        // The victim may hang up at any time: that is its right.
      }
    }
    await expectService()
  })

  it('that announces endless frames is cut off before it can send them', async () => {
    const prefixes = [
      [0xff, 0xff, 0xff, 0xff, 0x0f],
      [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
      [0xff, 0xff, 0xff, 0x7f],
      new Array<number>(64).fill(0x80),
      [0x00],
    ]
    await expectBounded(async () => {
      for (const protocol of [directoryProtocol, inferenceProtocol, meshProtocol, kadProtocol]) {
        for (const prefix of prefixes) {
          const stream = await rawStream(enemy, victim, protocol)
          try {
            stream.send(Uint8Array.from(prefix))
            for (let count = 0; count < 16; count += 1) stream.send(new Uint8Array(64 * 1024))
          } catch {
            // Reset already.
          }
          await expect
            .poll(() => stream.remoteWriteStatus === 'closed' || stream.status !== 'open', { timeout: 12_000 })
            .toBe(true)
          stream.abort(new Error('done'))
        }
      }
    })
    await expectService()
  })

  it('that sends a frame a byte at a time is cut off when its time is over', async () => {
    const startedAtMs = performance.now()
    const streams = await Promise.all(
      [directoryProtocol, inferenceProtocol].map((protocol) => rawStream(enemy, victim, protocol)),
    )
    for (const stream of streams) stream.send(Uint8Array.of(0xe8, 0x07))
    const drip = setInterval(() => {
      for (const stream of streams) if (stream.writeStatus === 'writable') stream.send(Uint8Array.of(0))
    }, 50)
    await expect
      .poll(() => streams.every((stream) => stream.remoteWriteStatus === 'closed'), { timeout: 5_000 })
      .toBe(true)
    clearInterval(drip)
    expect(performance.now() - startedAtMs).toBeLessThan(3_000)
    await expectService()
  })

  it('cannot make anybody believe offers that are forged, foreign, over, or too long', async () => {
    const [someone, other] = [await createMemoryIdentity(), await createMemoryIdentity()]
    const payload = encodeOffer(offerBy(someone))
    const bad = [
      encodeSignedOffer(payload, await other.sign(payload)),
      encodeSignedOffer(payload, new Uint8Array(64)),
      await signedBy(someone, { peerId: other.peerId }),
      crypto.getRandomValues(new Uint8Array(500)),
    ]
    const over = await signedBy(someone)
    await enemy.handle(directoryProtocol, async (stream) => {
      const channel = createFrameChannel(stream)
      await channel.read(1_024, patience)
      const offers = [...bad.map((signed) => ({ signed, remainingMs: 1_000 })), { signed: over, remainingMs: 0 }]
      await channel.write([encodeAnswer(offers)], patience)
      await channel.close(500)
    })
    await enemy.dial(multiaddr(victim.addresses()[0]))
    const { gossip } = enemy.services
    gossip.subscribe(announceProtocol)
    await expect.poll(() => gossip.getSubscribers(announceProtocol).length, { timeout: 5_000 }).toBe(1)
    for (const message of bad) await gossip.publish(announceProtocol, message)
    const offers = await victim.findOffers(testModel, { enough: (found) => found.length > 0, timeoutMs: 1_000 })
    expect(offers).toEqual([])

    await gossip.publish(announceProtocol, await signedBy(other, { sequence: 2 }))
    await expect.poll(() => victim.knownOffers(testModel).map((offer) => offer.peerId)).toEqual([other.peerId])
  })

  it('cannot bring an old offer back', async () => {
    const host = await createMemoryIdentity()
    await enemy.dial(multiaddr(victim.addresses()[0]))
    const { gossip } = enemy.services
    gossip.subscribe(announceProtocol)
    await expect.poll(() => gossip.getSubscribers(announceProtocol).length, { timeout: 5_000 }).toBe(1)
    const old = await signedBy(host, { sequence: 1, span: { start: 0, end: 9 } })
    await gossip.publish(announceProtocol, await signedBy(host, { sequence: 2 }))
    await expect.poll(() => victim.knownOffers(testModel).length).toBe(1)
    await gossip.publish(announceProtocol, old)
    await gossip.publish(announceProtocol, await signedBy(host, { sequence: 3, span: null }))
    await expect.poll(() => victim.knownOffers(testModel).length).toBe(0)
    await gossip.publish(announceProtocol, await signedBy(host, { sequence: 2, nodeName: 'again' }))
    const offers = await victim.findOffers(testModel, { enough: (found) => found.length > 0, timeoutMs: 500 })
    expect(offers).toEqual([])
  })

  it('that opens 200 sessions gets its share and no more, and others get theirs', async () => {
    await expectBounded(async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 200 }, async () => {
          try {
            const channel = await rawChannel(enemy, victim)
            await channel.write([rawOpen()], patience)
            const answer = await hostSays(channel)
            return answer?.type === 'refused' ? answer.reason : (answer?.type ?? 'closed')
          } catch {
            return 'reset'
          }
        }),
      )
      const opened = outcomes.filter((outcome) => outcome === 'opened').length
      expect(opened).toBeGreaterThan(0)
      expect(opened).toBeLessThanOrEqual(maxSessionsPerPeer)
      expect(outcomes.every((outcome) => ['opened', 'busy', 'reset'].includes(outcome))).toBe(true)
    })
    await expectService()
  })

  it('that floods its sessions without reading answers holds a bounded amount', async () => {
    await expectBounded(async () => {
      const channels = await Promise.all(Array.from({ length: 6 }, () => rawChannel(enemy, victim)))
      await Promise.all(
        channels.map(async (channel) => {
          await channel.write([rawOpen({ maxLength: 512 })], patience)
          expect(await hostSays(channel)).toEqual({ type: 'opened' })
          const parts = tensorParts(new Float32Array(rawHiddenSize * 512), 0)
          try {
            for (let count = 0; count < 400; count += 1) await channel.write(parts, { timeoutMs: 300 })
          } catch {
            // Held up or hung up on: either is fine.
          }
          channel.abort(new Error('done'))
        }),
      )
    })
    await expectService()
  })

  it('that asks the directory without end is not answered without end', async () => {
    let answers = 0
    for (let count = 0; count < 60; count += 1) {
      try {
        const channel = await rawChannel(enemy, victim, directoryProtocol)
        await channel.write([encodeQuestion(null)], patience)
        if ((await channel.read(70_000, patience)) !== null) answers += 1
        await channel.close(100)
      } catch {
        // Over its allowance.
      }
    }
    expect(answers).toBeGreaterThan(0)
    expect(answers).toBeLessThanOrEqual(20)
    await expectService()
  })

  it('that connects again and again is slowed down, and others still get in a little later', async () => {
    const dials = await Promise.allSettled(
      Array.from({ length: 40 }, () => enemy.dial(multiaddr(victim.addresses()[0]), { force: true })),
    )
    expect(dials.filter((dial) => dial.status === 'fulfilled').length).toBeLessThanOrEqual(12)
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    await expectService()
  })
})
