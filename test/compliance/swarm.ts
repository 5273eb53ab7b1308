/** What every `Swarm` promises, run on the libp2p adapter and on the in-memory fake alike. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import { CodedError } from '#contracts/errors.ts'
import { PeerLostError, SessionRefusedError } from '#core/errors.ts'
import type { HostedSession, RemoteSession, SessionRequest, SpanHost, SpanOffer, Swarm } from '#core/ports/swarm.ts'

export interface SwarmHarness {
  /** A started swarm that can reach, and be reached by, the others made here. */
  join(): Promise<Swarm>
  /** As `kill -9` would: no goodbye to anybody. */
  kill(swarm: Swarm): Promise<void>
  /** Moves all nodes' clocks forward. */
  advance(ms: number): void
  dispose(): Promise<void>
}

type Traffic = Parameters<HostedSession['ended']>[1]
interface Ended {
  readonly sessionId: string
  readonly how: string
  readonly traffic: Traffic
}

export const complianceModel: Digest = digestSchema.parse('ab'.repeat(32))
const otherModel: Digest = digestSchema.parse('cd'.repeat(32))
const hiddenSize = 8

function requestFor(init: Partial<SessionRequest> = {}): SessionRequest {
  return {
    sessionId: crypto.randomUUID(),
    modelDigest: complianceModel,
    span: { start: 0, end: 2 },
    maxLength: 4096,
    hiddenSize,
    ...init,
  }
}

function offerOf(start: number, end: number) {
  return { modelDigest: complianceModel, span: { start, end }, maxLength: 4096, nodeName: `blocks ${start} to ${end}` }
}

/** Adds `amount` to every value; what ended, and how, is kept. */
function addingHost(amount: number, overrides: Partial<HostedSession> = {}) {
  const ended: Ended[] = []
  const opened: { peerId: string; request: SessionRequest }[] = []
  const host: SpanHost = {
    async open(peerId, request) {
      opened.push({ peerId, request })
      return {
        forward: async (hidden) => hidden.map((value) => value + amount),
        ended: async (how, traffic) => void ended.push({ sessionId: request.sessionId, how, traffic }),
        ...overrides,
      }
    },
  }
  return { host, ended, opened }
}

const hidden = (tokens: number, value: number) => new Float32Array(tokens * hiddenSize).fill(value)
const within = { timeout: 10_000, interval: 10 }
const atLeast = (count: number) => (offers: readonly SpanOffer[]) => offers.length >= count

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => expect.fail('expected a rejection'),
    (error: unknown) => error,
  )
}

export function swarmCompliance(name: string, createHarness: () => Promise<SwarmHarness>): void {
  describe(`${name} as a Swarm`, () => {
    let harness: SwarmHarness
    beforeEach(async () => {
      harness = await createHarness()
    })
    afterEach(async () => {
      await harness.dispose()
    })

    /** A client, and a host that offers blocks 0 to 2 and adds one. */
    async function pair(overrides: Partial<HostedSession> = {}) {
      const hostSwarm = await harness.join()
      const { host, ended, opened } = addingHost(1, overrides)
      hostSwarm.serve(host)
      await hostSwarm.offer(offerOf(0, 2))
      const client = await harness.join()
      await client.findOffers(complianceModel, { enough: atLeast(1), timeoutMs: 10_000 })
      return { client, hostSwarm, ended, opened }
    }

    describe('offers', () => {
      it('reach a node that joined later, with the name and the limits their host gave', async () => {
        const host = await harness.join()
        await host.offer(offerOf(2, 4))
        const client = await harness.join()
        const offers = await client.findOffers(complianceModel, { enough: atLeast(1), timeoutMs: 10_000 })
        expect(offers).toEqual([{ ...offerOf(2, 4), peerId: host.selfId, expiresAtMs: expect.any(Number) }])
        expect(client.knownOffers(complianceModel)).toEqual(offers)
        expect(client.knownOffers(otherModel)).toEqual([])
        expect(host.knownOffers(complianceModel)).toEqual([])
      })

      it('reach a node that was there before, and tell its listeners', async () => {
        const client = await harness.join()
        let changes = 0
        const forget = client.onChange(() => {
          changes += 1
        })
        const host = await harness.join()
        await host.offer(offerOf(0, 2))
        await expect.poll(() => client.knownOffers(complianceModel).length, within).toBe(1)
        await expect.poll(() => changes, within).toBeGreaterThan(0)
        forget()
      })

      it('of several hosts are found together, third parties included', async () => {
        for (const start of [0, 2, 4]) await (await harness.join()).offer(offerOf(start, start + 2))
        const client = await harness.join()
        const offers = await client.findOffers(complianceModel, { enough: atLeast(3), timeoutMs: 10_000 })
        expect(offers.map((offer) => offer.span.start).sort()).toEqual([0, 2, 4])
      })

      it('are replaced by newer ones of the same host', async () => {
        const { client, hostSwarm } = await pair()
        await hostSwarm.offer(offerOf(4, 6))
        await expect
          .poll(() => client.knownOffers(complianceModel).map((offer) => offer.span), within)
          .toEqual([{ start: 4, end: 6 }])
      })

      it('are withdrawn at once', async () => {
        const { client, hostSwarm } = await pair()
        await hostSwarm.offer(null)
        await expect.poll(() => client.knownOffers(complianceModel), within).toEqual([])
      })

      it('of a killed host outlive it, and then expire', async () => {
        const { client, hostSwarm } = await pair()
        await harness.kill(hostSwarm)
        expect(client.knownOffers(complianceModel)).toHaveLength(1)
        harness.advance(120_000)
        expect(client.knownOffers(complianceModel)).toEqual([])
      })

      it('of a peer reported lost are forgotten until it makes a new one', async () => {
        const { client, hostSwarm } = await pair()
        client.reportLost(hostSwarm.selfId)
        expect(client.knownOffers(complianceModel)).toEqual([])
        await hostSwarm.offer(offerOf(0, 2))
        await expect.poll(() => client.knownOffers(complianceModel).length, within).toBe(1)
      })

      it('that are not enough are what a search returns when its time is over', async () => {
        const { client } = await pair()
        const offers = await client.findOffers(complianceModel, { enough: atLeast(2), timeoutMs: 150 })
        expect(offers).toHaveLength(1)
      })

      it('are no longer searched for when the caller gives up', async () => {
        const client = await harness.join()
        const controller = new AbortController()
        const search = client.findOffers(complianceModel, {
          enough: () => false,
          timeoutMs: 10_000,
          signal: controller.signal,
        })
        controller.abort(new Error('no longer wanted'))
        expect(await rejection(search)).toMatchObject({ message: 'no longer wanted' })
      })
    })

    describe('sessions', () => {
      it('carry steps there and back, and end once with the bytes both sides counted', async () => {
        const { client, hostSwarm, ended, opened } = await pair()
        const request = requestFor()
        const session = await client.openSession(hostSwarm.selfId, request)
        expect(opened).toEqual([{ peerId: client.selfId, request }])
        expect(await session.forward(hidden(5, 1), 0)).toEqual(hidden(5, 2))
        expect(await session.forward(hidden(1, 7), 5)).toEqual(hidden(1, 8))
        await session.close()
        await session.close()
        await expect.poll(() => ended.length, within).toBe(1)
        const traffic = { bytesReceived: session.bytesSent, bytesSent: session.bytesReceived }
        expect(ended).toEqual([{ sessionId: request.sessionId, how: 'completed', traffic }])
        expect(session.bytesSent).toBeGreaterThan(6 * hiddenSize * 4)
        expect(session.bytesSent).toBeLessThan(6 * hiddenSize * 4 + 1024)
      })

      it('leave what the caller passed in unchanged and unshared', async () => {
        const given: Float32Array[] = []
        const { client, hostSwarm } = await pair({
          forward: async (values) => {
            given.push(values)
            return values.fill(9)
          },
        })
        const session = await client.openSession(hostSwarm.selfId, requestFor())
        const mine = hidden(2, 3)
        const result = await session.forward(mine, 0)
        expect(mine).toEqual(hidden(2, 3))
        given[0]?.fill(0)
        expect(result).toEqual(hidden(2, 9))
        await session.close()
      })

      it('carry steps longer than one frame', async () => {
        const { client, hostSwarm } = await pair()
        const session = await client.openSession(hostSwarm.selfId, requestFor())
        const long = Float32Array.from({ length: 1300 * hiddenSize }, (_, index) => index)
        expect(await session.forward(long, 0)).toEqual(long.map((value) => value + 1))
        await session.close()
      })

      it('of two clients on one host, and of one client on two hosts, do not mix', async () => {
        const first = await pair()
        const secondHost = await harness.join()
        const second = addingHost(100)
        secondHost.serve(second.host)
        await secondHost.offer(offerOf(2, 4))
        const otherClient = await harness.join()
        await otherClient.findOffers(complianceModel, { enough: atLeast(2), timeoutMs: 10_000 })
        await first.client.findOffers(complianceModel, { enough: atLeast(2), timeoutMs: 10_000 })
        const a = await first.client.openSession(first.hostSwarm.selfId, requestFor())
        const b = await first.client.openSession(secondHost.selfId, requestFor({ span: { start: 2, end: 4 } }))
        const c = await otherClient.openSession(first.hostSwarm.selfId, requestFor())
        for (let position = 0; position < 5; position += 1) {
          const results = await Promise.all([a, b, c].map((one, index) => one.forward(hidden(1, index), position)))
          expect(results.map((result) => result[0])).toEqual([1, 101, 3])
        }
        await Promise.all([a.close(), b.close(), c.close()])
        await expect.poll(() => first.ended.length + second.ended.length, within).toBe(3)
      })

      it('are refused with the reason the host gave, and the host stays known', async () => {
        const { client, hostSwarm } = await pair()
        hostSwarm.serve({ open: () => Promise.reject(new SessionRefusedError('too-long')) })
        const error = await rejection(client.openSession(hostSwarm.selfId, requestFor()))
        expect(error).toBeInstanceOf(SessionRefusedError)
        expect(error).toMatchObject({ reason: 'too-long' })
        expect(client.knownOffers(complianceModel)).toHaveLength(1)
      })

      it('are refused as paused by a node that does not serve', async () => {
        const { client, hostSwarm } = await pair()
        hostSwarm.serve(null)
        expect(await rejection(client.openSession(hostSwarm.selfId, requestFor()))).toMatchObject({ reason: 'paused' })
      })

      it('end on both sides when the host stops serving', async () => {
        const { client, hostSwarm, ended } = await pair()
        const session = await client.openSession(hostSwarm.selfId, requestFor())
        await session.forward(hidden(1, 1), 0)
        hostSwarm.serve(null)
        expect(await rejection(session.forward(hidden(1, 1), 1))).toBeInstanceOf(PeerLostError)
        await expect.poll(() => ended.map(({ how }) => how), within).toEqual(['interrupted'])
      })

      it('to a peer nobody knows fail as a lost peer', async () => {
        const { client } = await pair()
        const stranger = '12D3KooWGzh3BFYXbTfDnHkLRTPhVUWVVsDgjGAuZ4ySVMwfs9sv'
        expect(await rejection(client.openSession(stranger, requestFor()))).toBeInstanceOf(PeerLostError)
      })
    })

    describe('failures', () => {
      async function openedPair(overrides: Partial<HostedSession> = {}) {
        const both = await pair(overrides)
        const session = await both.client.openSession(both.hostSwarm.selfId, requestFor())
        return { ...both, session }
      }
      const never = () => new Promise<Float32Array>(() => {})

      async function expectClosed(session: RemoteSession): Promise<void> {
        expect(await rejection(session.forward(hidden(1, 1), 0))).toBeInstanceOf(PeerLostError)
        await session.close()
      }

      it('of the host in the middle of a step are noticed within a second, and its offer is dropped', async () => {
        const { client, hostSwarm, session } = await openedPair({ forward: never })
        const failed = rejection(session.forward(hidden(1, 1), 0))
        await new Promise((resolve) => setTimeout(resolve, 50))
        const killedAtMs = performance.now()
        await harness.kill(hostSwarm)
        const error = await failed
        expect(error).toBeInstanceOf(PeerLostError)
        expect(error).toMatchObject({ peerId: hostSwarm.selfId, code: 'peer-lost' })
        expect(performance.now() - killedAtMs).toBeLessThan(1_000)
        expect(client.knownOffers(complianceModel)).toEqual([])
        await expectClosed(session)
      })

      it('of the host between steps are noticed by the next one', async () => {
        const { hostSwarm, session } = await openedPair()
        await session.forward(hidden(1, 1), 0)
        await harness.kill(hostSwarm)
        expect(await rejection(session.forward(hidden(1, 1), 1))).toBeInstanceOf(PeerLostError)
        await expectClosed(session)
      })

      it('of the client end the host’s session as interrupted and stop its work', async () => {
        const signals: AbortSignal[] = []
        const { client, session, ended } = await openedPair({
          forward: (_values, _position, { signal }) => {
            signals.push(signal)
            return never()
          },
        })
        const failed = rejection(session.forward(hidden(1, 1), 0))
        await expect.poll(() => signals.length, within).toBe(1)
        await harness.kill(client)
        await failed
        await expect.poll(() => ended.map(({ how }) => how), within).toEqual(['interrupted'])
        expect(signals[0]?.aborted).toBe(true)
      })

      it('inside the host’s own work reach the client as a lost peer and end the session as failed', async () => {
        const { session, ended } = await openedPair({
          forward: () => Promise.reject(new CodedError('budget-exceeded', 'out of memory')),
        })
        expect(await rejection(session.forward(hidden(1, 1), 0))).toBeInstanceOf(PeerLostError)
        await expect.poll(() => ended.map(({ how }) => how), within).toEqual(['failed'])
        await expectClosed(session)
      })

      it('by the caller’s own wish carry the caller’s reason, and the host is not blamed', async () => {
        const { client, session, ended } = await openedPair({ forward: never })
        const controller = new AbortController()
        const failed = rejection(session.forward(hidden(1, 1), 0, { signal: controller.signal }))
        controller.abort(new Error('stopped by the user'))
        expect(await failed).toMatchObject({ message: 'stopped by the user' })
        await expect.poll(() => ended.map(({ how }) => how), within).toEqual(['interrupted'])
        await session.close()
        expect(ended).toHaveLength(1)
        expect(client.peers().length).toBeGreaterThan(0)
      })

      it('to give whole tokens are the caller’s, and do not end the session', async () => {
        const { session } = await openedPair()
        expect(await rejection(session.forward(new Float32Array(hiddenSize + 1), 0))).toMatchObject({
          code: 'invalid-input',
        })
        expect(await session.forward(hidden(1, 1), 0)).toEqual(hidden(1, 2))
        await session.close()
      })
    })

    describe('life', () => {
      it('shows connected peers and how far they are', async () => {
        const { client, hostSwarm } = await pair()
        const session = await client.openSession(hostSwarm.selfId, requestFor())
        await expect.poll(() => client.peers().map((peer) => peer.peerId), within).toContain(hostSwarm.selfId)
        await expect.poll(() => client.rttMs(hostSwarm.selfId), within).toBeGreaterThanOrEqual(0)
        expect(client.rttMs('12D3KooWGzh3BFYXbTfDnHkLRTPhVUWVVsDgjGAuZ4ySVMwfs9sv')).toBeNull()
        expect(hostSwarm.addresses().length).toBeGreaterThan(0)
        await session.close()
      })

      it('stops within three seconds, takes its offer along, ends its sessions, and may be stopped twice', async () => {
        const { client, hostSwarm, ended } = await pair({ forward: () => new Promise(() => {}) })
        const session = await client.openSession(hostSwarm.selfId, requestFor())
        const failed = rejection(session.forward(hidden(1, 1), 0))
        const stoppingAtMs = performance.now()
        await Promise.all([hostSwarm.stop(), hostSwarm.stop()])
        expect(performance.now() - stoppingAtMs).toBeLessThan(3_000)
        expect(await failed).toBeInstanceOf(PeerLostError)
        expect(ended.map(({ how }) => how)).toEqual(['interrupted'])
        await expect.poll(() => client.knownOffers(complianceModel), within).toEqual([])
        expect(hostSwarm.addresses()).toEqual([])
        expect(hostSwarm.peers()).toEqual([])
      })
    })
  })
}
