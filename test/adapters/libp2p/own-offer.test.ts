import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { defaultTimeouts } from '#adapters/libp2p/limits.ts'
import { silentLog } from '#adapters/libp2p/log.ts'
import { createOwnOffer } from '#adapters/libp2p/own-offer.ts'
import { decodeSignedOffer, offerSigningBytes } from '#contracts/wire/announce/messages.ts'
import { createFakeClock } from '#test/fakes/clock.ts'
import { testModel } from './offers.ts'

const offer = { modelDigest: testModel, span: { start: 2, end: 4 }, maxLength: 512, nodeName: 'den' }

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

async function announcing(publish: (bytes: Uint8Array) => Promise<void> = async () => {}) {
  const identity = await createMemoryIdentity()
  const clock = createFakeClock()
  const said: Uint8Array[] = []
  const own = createOwnOffer(
    {
      identity,
      clock,
      log: silentLog,
      addresses: () => Array.from({ length: 12 }, (_, index) => `/ip4/192.0.2.${index}/tcp/4001`),
      publish: async (bytes) => {
        said.push(bytes)
        await publish(bytes)
      },
    },
    { timeouts: defaultTimeouts },
  )
  return { identity, clock, own, said, messages: () => said.map((bytes) => decodeSignedOffer(bytes).message) }
}

describe('this node’s own offer', () => {
  it('is signed, bounded and said at once', async () => {
    const { identity, own, said, messages } = await announcing()
    await own.replace(offer)
    expect(messages()).toMatchObject([{ ...offer, peerId: identity.peerId, lifetimeMs: 45_000 }])
    expect(messages()[0]?.addresses).toHaveLength(8)
    const { payload, signature } = decodeSignedOffer(said[0] ?? new Uint8Array())
    expect(await createSignatureVerifier().verify(identity.peerId, offerSigningBytes(payload), signature)).toBe(true)
    own.stop()
  })

  it('is repeated soon and then every fifteen seconds, each time as a later word', async () => {
    const { own, messages } = await announcing()
    await own.replace(offer)
    await vi.advanceTimersByTimeAsync(250 + 1_000 + 3_000)
    expect(messages()).toHaveLength(4)
    await vi.advanceTimersByTimeAsync(30_000)
    expect(messages()).toHaveLength(6)
    const sequences = messages().map((message) => message.sequence)
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b))
    expect(new Set(sequences).size).toBe(6)
    own.stop()
  })

  it('has later sequences than before, though the wall clock went back', async () => {
    const { own, clock, messages } = await announcing()
    await own.replace(offer)
    clock.jump(-86_400_000)
    await own.replace({ ...offer, maxLength: 9 })
    const [first, second] = messages()
    expect(second?.sequence).toBeGreaterThan(first?.sequence ?? Number.POSITIVE_INFINITY)
    own.stop()
  })

  it('is withdrawn with a word of its own, once, and not repeated', async () => {
    const { own, messages } = await announcing()
    await own.replace(offer)
    expect(own.signed()).not.toBeNull()
    await own.replace(null)
    await own.replace(null)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(messages().map((message) => message.span)).toEqual([offer.span, null])
    expect(own.signed()).toBeNull()
  })

  it('stays in force when nobody could be told, and is said again', async () => {
    const { own, messages } = await announcing(() => Promise.reject(new Error('no network')))
    await own.replace(offer)
    await vi.advanceTimersByTimeAsync(300)
    expect(messages()).toHaveLength(2)
    expect(own.signed()?.remainingMs).toBe(45_000)
    own.stop()
  })

  it('that peers would refuse is refused here, by field, and the one before stays', async () => {
    const { own } = await announcing()
    await own.replace(offer)
    await expect(own.replace({ ...offer, nodeName: 'a\u202Eb' })).rejects.toMatchObject({
      code: 'invalid-input',
      params: { where: 'offer.nodeName' },
    })
    expect(own.current).toEqual(offer)
    own.stop()
  })
})
