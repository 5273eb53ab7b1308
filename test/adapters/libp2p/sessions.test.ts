import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createFrameChannel, type FrameChannel } from '#adapters/libp2p/frame-channel.ts'
import type { SwarmNode } from '#adapters/libp2p/node.ts'
import { CodedError } from '#contracts/errors.ts'
import { encodeControl, inferenceProtocol } from '#contracts/wire/inference/messages.ts'
import { encodeTensor } from '#contracts/wire/inference/tensor.ts'
import { PeerLostError } from '#core/errors.ts'
import type { HostedSession, RemoteSession, Swarm } from '#core/ports/swarm.ts'
import { createLibp2pHarness, type Libp2pHarness } from './harness.ts'
import { testModel } from './offers.ts'
import {
  addressOf,
  hostSays,
  patience,
  rawChannel,
  rawHiddenSize,
  rawOpen,
  rawStream,
  tensorParts,
  untilClosed,
} from './raw-peer.ts'

const timeouts = { helloMs: 300, openMs: 1_000, stepMs: 500, frameMs: 400, idleSessionMs: 600, closeMs: 50 }
const one = new Float32Array(rawHiddenSize).fill(1)

let harness: Libp2pHarness
beforeEach(async () => {
  harness = await createLibp2pHarness({ timeouts })
})
afterEach(async () => {
  await harness.dispose()
})

describe('a host, told nonsense by a client,', () => {
  let ended: { how: string; traffic: { bytesReceived: number; bytesSent: number } }[]
  let swarm: Swarm
  let peer: SwarmNode
  let forward: HostedSession['forward']

  beforeEach(async () => {
    ended = []
    forward = async (hidden) => hidden.map((value) => value + 1)
    swarm = await harness.join()
    swarm.serve({
      open: async () => ({
        forward: (...args) => forward(...args),
        ended: async (how, traffic) => void ended.push({ how, traffic }),
      }),
    })
    peer = await harness.bareNode()
  })

  async function opened(): Promise<FrameChannel> {
    const channel = await rawChannel(peer, swarm)
    await channel.write([rawOpen()], patience)
    expect(await hostSays(channel)).toEqual({ type: 'opened' })
    return channel
  }

  it.each<[string, Uint8Array[]]>([
    ['a step before opening', tensorParts(one, 0)],
    ['close before opening', [encodeControl({ type: 'close' })]],
    ['a word of the host’s', [encodeControl({ type: 'opened' })]],
    ['random bytes', [crypto.getRandomValues(new Uint8Array(300))]],
  ])('answers %s with a named violation, and no session has been', async (_, parts) => {
    const channel = await rawChannel(peer, swarm)
    await channel.write(parts, patience)
    expect(await hostSays(channel)).toEqual({ type: 'error', code: 'protocol-violation' })
    await untilClosed(channel)
    expect(ended).toEqual([])
  })

  it.each<[string, () => Uint8Array[]]>([
    ['a second open', () => [rawOpen()]],
    ['values that are not numbers', () => tensorParts(new Float32Array(rawHiddenSize).fill(Number.NaN), 0)],
    ['a position past the session’s end', () => tensorParts(one, 64)],
    ['half a token', () => tensorParts(one, 0).map((part, index) => (index === 1 ? part.subarray(8) : part))],
    ['a kind nobody knows', () => [Uint8Array.of(7, 7, 7)]],
    ['random control bytes', () => [Uint8Array.of(0, ...crypto.getRandomValues(new Uint8Array(64)))]],
  ])('answers %s in a session with a named violation, and ends it as interrupted', async (_, parts) => {
    const channel = await opened()
    await channel.write(parts(), patience)
    expect(await hostSays(channel)).toEqual({ type: 'error', code: 'protocol-violation' })
    await untilClosed(channel)
    const traffic = { bytesReceived: channel.bytesSent, bytesSent: channel.bytesReceived }
    expect(ended).toEqual([{ how: 'interrupted', traffic }])
  })

  it('does not wait for a first message for long', async () => {
    const channel = await rawChannel(peer, swarm)
    expect(await hostSays(channel)).toEqual({ type: 'error', code: 'cancelled' })
    await untilClosed(channel)
  })

  it('does not keep a session nobody uses', async () => {
    const channel = await opened()
    expect(await hostSays(channel)).toEqual({ type: 'error', code: 'cancelled' })
    await untilClosed(channel)
    expect(ended.map(({ how }) => how)).toEqual(['interrupted'])
  })

  it('ends as failed what its own work spoils, with the code and nothing else', async () => {
    const codes: unknown[] = []
    for (const broken of [
      async () => new Float32Array(3),
      () => Promise.reject(new CodedError('budget-exceeded', 'a secret detail')),
      () => Promise.reject(new Error('a secret detail')),
    ]) {
      forward = broken
      const channel = await opened()
      await channel.write(tensorParts(one, 0), patience)
      codes.push(await hostSays(channel))
    }
    expect(codes).toEqual(['internal', 'budget-exceeded', 'internal'].map((code) => ({ type: 'error', code })))
    await expect.poll(() => ended.map(({ how }) => how)).toEqual(['failed', 'failed', 'failed'])
  })

  it('survives an end that cannot be recorded', async () => {
    swarm.serve({
      open: async () => ({ forward: async (x) => x, ended: () => Promise.reject(new Error('disk full')) }),
    })
    const first = await opened()
    await first.write([encodeControl({ type: 'close' })], patience)
    await untilClosed(first)
    await opened()
  })

  it('does not compute ahead for a client that does not read', async () => {
    let steps = 0
    forward = async (hidden) => {
      steps += 1
      return hidden
    }
    const stream = await rawStream(peer, swarm, inferenceProtocol)
    const channel = createFrameChannel(stream)
    await channel.write([rawOpen({ hiddenSize: 4096, maxLength: 4096 })], patience)
    expect(await hostSays(channel)).toEqual({ type: 'opened' })
    stream.pause()
    const wide = new Float32Array(4096 * 64)
    for (let count = 0; count < 12; count += 1) {
      const { header, payload } = encodeTensor({ position: 0, tokens: 64, hidden: wide })
      await channel.write([header, payload], { timeoutMs: 200 }).catch(() => {})
    }
    expect(steps).toBeLessThanOrEqual(2)
    channel.abort(new Error('done'))
    await expect.poll(() => ended.length).toBe(1)
  })
})

describe('a client, answered badly by a host,', () => {
  let client: Swarm
  let host: SwarmNode

  beforeEach(async () => {
    client = await harness.join()
    host = await harness.bareNode()
  })

  async function meet(): Promise<void> {
    await host.dial(addressOf(client))
    await expect.poll(() => client.peers().map((peer) => peer.peerId)).toContain(host.peerId.toString())
  }

  /** A host that opens, and then answers a step with whatever `answer` writes. */
  async function sessionWith(answer: (channel: FrameChannel) => Promise<void>): Promise<RemoteSession> {
    await host.handle(inferenceProtocol, async (stream) => {
      const channel = createFrameChannel(stream)
      await channel.read(70_000, patience)
      await channel.write([encodeControl({ type: 'opened' })], patience)
      await channel.read(70_000, patience).catch(() => null)
      await answer(channel).catch(() => {})
    })
    await meet()
    return await client.openSession(host.peerId.toString(), {
      sessionId: crypto.randomUUID(),
      modelDigest: testModel,
      span: { start: 0, end: 2 },
      maxLength: 64,
      hiddenSize: rawHiddenSize,
    })
  }

  it.each<[string, (channel: FrameChannel) => Promise<void>]>([
    ['another position', (channel) => channel.write(tensorParts(one, 5), patience)],
    ['more tokens than were asked for', (channel) => channel.write(tensorParts(new Float32Array(8), 0), patience)],
    [
      'infinities',
      (channel) =>
        channel.write(
          tensorParts(
            one.map(() => Number.POSITIVE_INFINITY),
            0,
          ),
          patience,
        ),
    ],
    ['opened again', (channel) => channel.write([encodeControl({ type: 'opened' })], patience)],
    ['random bytes', (channel) => channel.write([crypto.getRandomValues(new Uint8Array(999))], patience)],
    ['an error of its own', (channel) => channel.write([encodeControl({ type: 'error', code: 'paused' })], patience)],
    ['goodbye', (channel) => channel.close(100)],
    ['a reset', async (channel) => channel.abort(new Error('reset'))],
    ['silence', async () => {}],
  ])('takes %s for a lost peer within its time, and is closed', async (_, answer) => {
    const session = await sessionWith(answer)
    const startedAtMs = performance.now()
    const failure = await session.forward(one, 0).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(PeerLostError)
    expect(performance.now() - startedAtMs).toBeLessThan(timeouts.stepMs + 400)
    await expect(session.forward(one, 0)).rejects.toBeInstanceOf(PeerLostError)
    await session.close()
  })

  it('takes a host that never answers an opening for a lost peer', async () => {
    await host.handle(inferenceProtocol, () => {})
    await meet()
    const request = {
      sessionId: crypto.randomUUID(),
      modelDigest: testModel,
      span: { start: 0, end: 2 },
      maxLength: 64,
      hiddenSize: rawHiddenSize,
    }
    await expect(client.openSession(host.peerId.toString(), request)).rejects.toBeInstanceOf(PeerLostError)
    const given = AbortSignal.timeout(50)
    await expect(client.openSession(host.peerId.toString(), request, { signal: given })).rejects.toMatchObject({
      name: 'TimeoutError',
    })
  })
})
