import { describe, expect, it } from 'vitest'
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { announcementsPerPeer } from '#adapters/libp2p/limits.ts'
import { createOfferBook } from '#adapters/libp2p/offer-book.ts'
import { createOfferIntake } from '#adapters/libp2p/offer-intake.ts'
import { encodeOffer, encodeSignedOffer, offerSigningBytes } from '#contracts/wire/announce/messages.ts'
import { createFakeClock } from '#test/fakes/clock.ts'
import { identities, offerBy, signedBy, testModel } from './offers.ts'

async function intakeOfNode() {
  const self = await createMemoryIdentity()
  const book = createOfferBook({ clock: createFakeClock() })
  const verifier = createSignatureVerifier()
  let verified = 0
  let news = 0
  const intake = createOfferIntake(
    {
      book,
      verifier: {
        verify: (...args) => {
          verified += 1
          return verifier.verify(...args)
        },
      },
    },
    {
      selfId: self.peerId,
      onNews: () => {
        news += 1
      },
    },
  )
  return { intake, book, self, counts: () => ({ verified, news }) }
}

describe('an offer from outside', () => {
  it('is news once, then a repeat; what came before it is old; none of that costs a second check', async () => {
    const { intake, book, counts } = await intakeOfNode()
    const host = await createMemoryIdentity()
    const bytes = await signedBy(host, { sequence: 2 })
    expect(await intake.take(bytes, 'x')).toBe('news')
    expect(await intake.take(bytes, 'x')).toBe('repeat')
    expect(await intake.take(await signedBy(host, { sequence: 2, maxLength: 9 }), 'x')).toBe('old')
    expect(await intake.take(await signedBy(host, { sequence: 1 }), 'x')).toBe('old')
    expect(counts()).toEqual({ verified: 1, news: 1 })
    expect(book.offers(testModel)).toHaveLength(1)
  })

  it('signed by somebody else, over other bytes, or without the domain, is bad', async () => {
    const { intake, book } = await intakeOfNode()
    const [host, liar] = await identities(2)
    if (!host || !liar) throw new Error('unreachable')
    const payload = encodeOffer(offerBy(host))
    const tampered = encodeOffer(offerBy(host, { maxLength: 99 }))
    const signature = await host.sign(offerSigningBytes(payload))
    const attempts = [
      encodeSignedOffer(payload, await liar.sign(offerSigningBytes(payload))),
      encodeSignedOffer(tampered, signature),
      encodeSignedOffer(payload, await host.sign(payload)),
      encodeSignedOffer(payload, new Uint8Array(64)),
    ]
    for (const attempt of attempts) expect(await intake.take(attempt, 'x')).toBe('bad')
    expect(book.size).toBe(0)
    expect(await intake.take(encodeSignedOffer(payload, signature), 'x')).toBe('news')
  })

  it('that is not even an offer is bad', async () => {
    const { intake } = await intakeOfNode()
    for (const length of [0, 1, 100, 100_000]) {
      expect(await intake.take(crypto.getRandomValues(new Uint8Array(Math.min(length, 65_536))), 'x')).toBe('bad')
    }
  })

  it('in this node’s own name is not taken from others', async () => {
    const { intake, book, self } = await intakeOfNode()
    expect(await intake.take(await signedBy(self), 'x')).toBe('old')
    expect(book.size).toBe(0)
  })

  it('from a neighbour that sends too many is not checked any more, while others are', async () => {
    const { intake, counts } = await intakeOfNode()
    const host = await createMemoryIdentity()
    const payload = encodeOffer(offerBy(host))
    const bad = encodeSignedOffer(payload, new Uint8Array(64))
    for (let count = 0; count < announcementsPerPeer.points; count += 1) await intake.take(bad, 'flooder')
    expect(await intake.take(bad, 'flooder')).toBe('flood')
    expect(counts().verified).toBe(announcementsPerPeer.points)
    expect(await intake.take(await signedBy(host), 'a neighbour')).toBe('news')
  })
})
