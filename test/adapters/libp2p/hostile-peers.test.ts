import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createFrameChannel } from '#adapters/libp2p/frame-channel.ts'
import {
  inboundConnectionsPerSecond,
  maxIncomingPendingConnections,
  maxSessionsPerPeer,
} from '#adapters/libp2p/limits.ts'
import { kadProtocol, type SwarmNode } from '#adapters/libp2p/node.ts'
import { announceProtocol, encodeOffer, encodeSignedOffer } from '#contracts/wire/announce/messages.ts'
import { directoryProtocol, encodeAnswer, encodeQuestion } from '#contracts/wire/directory/messages.ts'
import { inferenceProtocol } from '#contracts/wire/inference/messages.ts'
import { patchDirectoryProtocol } from '#contracts/wire/patches/directory.ts'
import { patchFetchProtocol } from '#contracts/wire/patches/fetch.ts'
import { createLibp2pHarness, type Libp2pHarness } from './harness.ts'
import { offerBy, signedBy, testModel } from './offers.ts'
import {
  addressOf,
  hostSays,
  patience,
  rawChannel,
  rawHiddenSize,
  rawOpen,
  rawStream,
  type Target,
  tensorParts,
} from './raw-peer.ts'
import type { VictimReport } from './victim.ts'

const meshProtocol = '/meshsub/1.2.0'
const everyProtocol = [
  directoryProtocol,
  inferenceProtocol,
  patchDirectoryProtocol,
  patchFetchProtocol,
  meshProtocol,
  kadProtocol,
  '/ipfs/id/1.0.0',
  '/ipfs/ping/1.0.0',
]
const framedProtocols = everyProtocol.filter(
  (protocol) => protocol.startsWith('/quiltbee/') || protocol === meshProtocol,
)
const memoryLimitBytes = 64 * 1024 * 1024

let harness: Libp2pHarness
let enemy: SwarmNode

beforeEach(async () => {
  harness = await createLibp2pHarness({ dht: true })
  enemy = await harness.bareNode()
})
afterEach(async () => {
  await harness.dispose()
})

describe('a host under attack', () => {
  let child: ChildProcess
  let victim: Target

  function report(): Promise<VictimReport> {
    return new Promise((resolve, reject) => {
      const died = () => reject(new Error('the victim died'))
      child.once('exit', died)
      child.once('message', (message) => {
        child.off('exit', died)
        resolve(message as VictimReport)
      })
      child.send('report')
    })
  }

  beforeAll(async () => {
    child = fork(join(import.meta.dirname, 'victim.ts'), { stdio: 'inherit' })
    const { addresses } = await report()
    victim = { addresses: () => addresses }
  })
  afterAll(() => {
    child.disconnect()
  })

  /** Runs the attack, then: the victim's memory stayed bounded, and somebody honest still finds it and is answered. */
  async function expectSurvival(attack: () => Promise<void>): Promise<void> {
    const before = await report()
    await attack()
    const after = await report()
    expect(after.peakRssBytes - before.rssBytes).toBeLessThan(memoryLimitBytes)
    await expect.poll(isServed, { timeout: 8_000, interval: 250 }).toBe(true)
  }

  /** Tried again while the victim still holds connections against the address attackers and honest peers share here. */
  async function isServed(): Promise<boolean> {
    const honest = await harness.join([...victim.addresses()])
    try {
      const offers = await honest.findOffers(testModel, { enough: (found) => found.length > 0, timeoutMs: 2_000 })
      const [offer] = offers
      if (offer === undefined) return false
      const request = { sessionId: crypto.randomUUID(), modelDigest: testModel, span: offer.span, maxLength: 64 }
      const session = await honest.openSession(offer.peerId, { ...request, hiddenSize: rawHiddenSize })
      const answer = await session.forward(new Float32Array(rawHiddenSize).fill(1), 0)
      await session.close()
      return answer.every((value) => value === 2)
    } finally {
      await honest.stop()
    }
  }

  it('by random bytes on every protocol goes on serving', async () => {
    await expectSurvival(async () => {
      for (const protocol of everyProtocol) {
        for (let attempt = 0; attempt < 20; attempt += 1) {
          try {
            const stream = await rawStream(enemy, victim, protocol)
            stream.send(crypto.getRandomValues(new Uint8Array(1 + attempt * 200)))
            await stream.close({ signal: AbortSignal.timeout(100) })
          } catch {
            // The victim may hang up at any time: that is its right.
          }
        }
      }
    })
  })

  it.each([
    ['2^32 - 1 bytes', [0xff, 0xff, 0xff, 0xff, 0x0f]],
    ['2^53 bytes', [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]],
    ['-1 bytes', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]],
    ['as many bytes as four digits can say', [0xff, 0xff, 0xff, 0x7f]],
    ['a length that never ends', new Array<number>(64).fill(0x80)],
    ['nothing, two million times', [0]],
  ])('by frames of %s hangs up before it has taken them in', async (_, prefix) => {
    await expectSurvival(async () => {
      for (const protocol of framedProtocols) {
        const stream = await rawStream(enemy, victim, protocol)
        try {
          stream.send(Uint8Array.from(prefix))
          for (let count = 0; count < 32; count += 1) stream.send(new Uint8Array(64 * 1024))
        } catch {
          // Reset already.
        }
        const isOver = () => stream.remoteWriteStatus === 'closed' || stream.status !== 'open'
        await expect.poll(isOver, { timeout: 3_000, interval: 10 }).toBe(true)
        stream.abort(new Error('done'))
      }
    })
  })

  it('by frames sent a byte at a time hangs up when their time is over', async () => {
    await expectSurvival(async () => {
      const slow = [directoryProtocol, inferenceProtocol, patchDirectoryProtocol, patchFetchProtocol]
      const streams = await Promise.all(slow.map((protocol) => rawStream(enemy, victim, protocol)))
      for (const stream of streams) stream.send(Uint8Array.of(0xe8, 0x07))
      const drip = setInterval(() => {
        for (const stream of streams) if (stream.writeStatus === 'writable') stream.send(Uint8Array.of(0))
      }, 50)
      const areOver = () => streams.every((stream) => stream.remoteWriteStatus === 'closed')
      await expect.poll(areOver, { timeout: 2_000 }).toBe(true)
      clearInterval(drip)
    })
  })

  it('by 200 openings of one peer gives it its share and no more', async () => {
    await expectSurvival(async () => {
      const outcomes: string[] = []
      for (let batch = 0; batch < 40; batch += 1) {
        outcomes.push(...(await Promise.all(Array.from({ length: 5 }, tryToOpen))))
      }
      const opened = outcomes.filter((outcome) => outcome === 'opened').length
      expect(opened).toBe(maxSessionsPerPeer)
      expect(new Set(outcomes)).toEqual(new Set(['opened', 'busy']))
      await enemy.stop()
    })
  })

  async function tryToOpen(): Promise<string> {
    try {
      const channel = await rawChannel(enemy, victim)
      await channel.write([rawOpen()], patience)
      const answer = await hostSays(channel)
      if (answer?.type === 'refused') await channel.close(500)
      return answer?.type === 'refused' ? answer.reason : (answer?.type ?? 'closed')
    } catch {
      return 'reset'
    }
  }

  it('by 200 openings at once answers each of them or resets it', async () => {
    await expectSurvival(async () => {
      const outcomes = await Promise.all(Array.from({ length: 200 }, tryToOpen))
      expect(outcomes.filter((outcome) => outcome === 'opened').length).toBeLessThanOrEqual(maxSessionsPerPeer)
      await enemy.stop()
    })
  })

  it('by sessions that are fed and never read holds a bounded amount', async () => {
    await expectSurvival(async () => {
      const streams = await Promise.all(Array.from({ length: 6 }, () => rawStream(enemy, victim, inferenceProtocol)))
      await Promise.all(
        streams.map(async (stream) => {
          const channel = createFrameChannel(stream)
          await channel.write([rawOpen({ maxLength: 512 })], patience)
          expect(await hostSays(channel)).toEqual({ type: 'opened' })
          stream.pause()
          const parts = tensorParts(new Float32Array(rawHiddenSize * 512), 0)
          try {
            for (let count = 0; count < 1_000; count += 1) await channel.write(parts, { timeoutMs: 300 })
            expect.fail('took eight megabytes without an answer being read')
          } catch {
            // Held up, as it should be.
          }
          channel.abort(new Error('done'))
        }),
      )
    })
  })

  it('by endless questions to its directory answers some of them', async () => {
    await expectSurvival(async () => {
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
    })
  })

  it('by connection after connection lets in only some', async () => {
    await expectSurvival(async () => {
      const startedAtMs = performance.now()
      let connected = 0
      for (let count = 0; count < 60; count += 1) {
        const dialled = enemy.dial(addressOf(victim), { force: true, signal: AbortSignal.timeout(1_000) })
        connected += await dialled.then(
          () => 1,
          () => 0,
        )
      }
      const seconds = Math.ceil((performance.now() - startedAtMs) / 1_000)
      expect(connected).toBeLessThanOrEqual(inboundConnectionsPerSecond * (seconds + 1) + maxIncomingPendingConnections)
      await enemy.stop()
    })
  })
})

describe('a node', () => {
  it('believes no offer that is forged, foreign, over or not an offer, and goes on listening', async () => {
    const node = await harness.join()
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
    const gossip = await gossipTo(node)
    for (const message of bad) await gossip.publish(announceProtocol, message)
    const offers = await node.findOffers(testModel, { enough: (found) => found.length > 0, timeoutMs: 1_000 })
    expect(offers).toEqual([])
    await gossip.publish(announceProtocol, await signedBy(other, { sequence: 2 }))
    await expect.poll(() => node.knownOffers(testModel).map((offer) => offer.peerId)).toEqual([other.peerId])
  })

  it('takes no old word for a new one', async () => {
    const node = await harness.join()
    const host = await createMemoryIdentity()
    const gossip = await gossipTo(node)
    await gossip.publish(announceProtocol, await signedBy(host, { sequence: 2 }))
    await expect.poll(() => node.knownOffers(testModel).length).toBe(1)
    await gossip.publish(announceProtocol, await signedBy(host, { sequence: 1, span: { start: 0, end: 9 } }))
    await gossip.publish(announceProtocol, await signedBy(host, { sequence: 3, span: null }))
    await expect.poll(() => node.knownOffers(testModel).length).toBe(0)
    await gossip.publish(announceProtocol, await signedBy(host, { sequence: 2, nodeName: 'again' }))
    const offers = await node.findOffers(testModel, { enough: (found) => found.length > 0, timeoutMs: 500 })
    expect(offers).toEqual([])
  })

  async function gossipTo(node: Target) {
    await enemy.dial(addressOf(node))
    const { gossip } = enemy.services
    gossip.subscribe(announceProtocol)
    await expect.poll(() => gossip.getSubscribers(announceProtocol).length, { timeout: 5_000 }).toBe(1)
    return gossip
  }
})
