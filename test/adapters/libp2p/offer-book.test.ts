import { describe, expect, it } from 'vitest'
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { maxOffersPerModel, maxOffersPerSource, rememberSequenceMs } from '#adapters/libp2p/limits.ts'
import { createOfferBook } from '#adapters/libp2p/offer-book.ts'
import { digestSchema } from '#contracts/digest.ts'
import { createFakeClock } from '#test/fakes/clock.ts'
import { heardFrom, identities, testModel } from './offers.ts'

async function bookWithOneOffer() {
  const clock = createFakeClock()
  const book = createOfferBook({ clock })
  const host = await createMemoryIdentity()
  expect(book.receive(await heardFrom(host, { sequence: 5 }))).toBe(true)
  return { clock, book, host }
}

describe('the offer book', () => {
  it('refuses an older or equal word of the same host', async () => {
    const { book, host } = await bookWithOneOffer()
    for (const sequence of [1, 4, 5]) {
      expect(book.isNews(host.peerId, sequence)).toBe(false)
      expect(book.receive(await heardFrom(host, { sequence, span: { start: 7, end: 8 } }))).toBe(false)
    }
    expect(book.offers(testModel)[0]?.span).toEqual({ start: 0, end: 2 })
    expect(book.receive(await heardFrom(host, { sequence: 6, span: { start: 7, end: 8 } }))).toBe(true)
    expect(book.offers(testModel)).toHaveLength(1)
    expect(book.offers(testModel)[0]?.span).toEqual({ start: 7, end: 8 })
  })

  it('ends an offer by its own monotonic clock, whatever the wall clocks say', async () => {
    const { clock, book } = await bookWithOneOffer()
    clock.jump(86_400_000)
    clock.jump(-200_000_000)
    clock.advance(44_999)
    expect(book.prune()).toBe(false)
    expect(book.offers(testModel)).toHaveLength(1)
    clock.advance(1)
    expect(book.offers(testModel)).toEqual([])
    expect(book.prune()).toBe(true)
    expect(book.prune()).toBe(false)
  })

  it('refuses the replay of an offer that has ended, and forgets it later', async () => {
    const { clock, book, host } = await bookWithOneOffer()
    clock.advance(45_000)
    book.prune()
    expect(book.receive(await heardFrom(host, { sequence: 5 }))).toBe(false)
    clock.advance(rememberSequenceMs)
    book.prune()
    expect(book.size).toBe(0)
  })

  it('lets hearsay shorten a life but never lengthen it', async () => {
    const { clock, book } = await bookWithOneOffer()
    const [short, long] = await identities(2)
    if (!short || !long) throw new Error('unreachable')
    book.receive({ ...(await heardFrom(short)), remainingMs: 1_000 })
    book.receive({ ...(await heardFrom(long)), remainingMs: 120_000 })
    const ends = book.offers(testModel).map((offer) => offer.expiresAtMs - clock.monotonicMs())
    expect(ends).toEqual([45_000, 1_000, 45_000])
    expect(book.known(testModel).map((offer) => offer.remainingMs)).toEqual(ends)
    const over = await createMemoryIdentity()
    expect(book.receive({ ...(await heardFrom(over)), remainingMs: 0 })).toBe(false)
  })

  it('forgets a withdrawn offer and does not let an older one bring it back', async () => {
    const { book, host } = await bookWithOneOffer()
    expect(book.receive(await heardFrom(host, { sequence: 7, span: null }))).toBe(true)
    expect(book.offers(testModel)).toEqual([])
    expect(book.known(null)).toEqual([])
    expect(book.receive(await heardFrom(host, { sequence: 6 }))).toBe(false)
  })

  it('disbelieves a lost peer until it says something new', async () => {
    const { book, host } = await bookWithOneOffer()
    expect(book.markLost(host.peerId)).toBe(true)
    expect(book.markLost(host.peerId)).toBe(false)
    expect(book.offers(testModel)).toEqual([])
    expect(book.known(null)).toEqual([])
    expect(book.receive(await heardFrom(host, { sequence: 5 }))).toBe(false)
    expect(book.receive(await heardFrom(host, { sequence: 6 }))).toBe(true)
    expect(book.offers(testModel)).toHaveLength(1)
  })

  it('tells models apart', async () => {
    const { book } = await bookWithOneOffer()
    const other = digestSchema.parse('cd'.repeat(32))
    book.receive(await heardFrom(await createMemoryIdentity(), { modelDigest: other }))
    expect(book.offers(testModel)).toHaveLength(1)
    expect(book.offers(other)).toHaveLength(1)
    expect(book.known(other)).toHaveLength(1)
    expect(book.known(null)).toHaveLength(2)
  })

  it('takes no more hearsay from one source, or for one model, than its limits; hosts themselves still get in', async () => {
    const book = createOfferBook({ clock: createFakeClock() })
    const many = await identities(maxOffersPerSource + 20)
    for (const identity of many) book.receive(await heardFrom(identity, {}, 'a gossip'))
    expect(book.size).toBe(Math.min(maxOffersPerSource, maxOffersPerModel))
    const host = await createMemoryIdentity()
    expect(book.receive(await heardFrom(host, {}, 'another gossip'))).toBe(false)
    expect(book.receive(await heardFrom(host))).toBe(true)
    expect(book.size).toBe(Math.min(maxOffersPerSource, maxOffersPerModel))
  })

  it('gives room taken by ended offers to new ones', async () => {
    const clock = createFakeClock()
    const book = createOfferBook({ clock })
    for (const identity of await identities(maxOffersPerSource)) book.receive(await heardFrom(identity, {}, 'a gossip'))
    clock.advance(45_000)
    expect(book.receive(await heardFrom(await createMemoryIdentity(), {}, 'a gossip'))).toBe(true)
    expect(book.size).toBe(maxOffersPerSource)
  })
})
