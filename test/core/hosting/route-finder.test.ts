import { describe, expect, test } from 'vitest'
import { digestSchema } from '#contracts/digest.ts'
import { MissingBlocksError } from '#core/errors.ts'
import { createRouteFinder } from '#core/hosting/route-finder.ts'
import type { SpanOffer } from '#core/ports/swarm.ts'
import { createFakeClock } from '#test/fakes/clock.ts'

const modelDigest = digestSchema.parse('c'.repeat(64))
const span = { start: 0, end: 2 }

function createWorld(peerIds: readonly string[]) {
  const clock = createFakeClock()
  const searches: number[] = []
  let offers: readonly SpanOffer[] = peerIds.map((peerId) => ({
    peerId,
    modelDigest,
    span,
    maxLength: 10,
    nodeName: peerId,
    expiresAtMs: 1e9,
  }))
  const swarm = {
    knownOffers: () => offers,
    async findOffers(_: unknown, options: { timeoutMs: number }) {
      searches.push(options.timeoutMs)
      return offers
    },
    rttMs: () => 5,
  }
  const init = { local: null, maxLength: 10, spreadSeed: 's', modelDigest, searchTimeoutMs: 5000 }
  const finder = createRouteFinder({ swarm, clock }, init)
  return {
    clock,
    searches,
    finder,
    forget: (peerId: string) => {
      offers = offers.filter((offer) => offer.peerId !== peerId)
    },
    find: async () => (await finder.find(span, {})).map(({ peerId }) => peerId),
  }
}

describe('finding a route', () => {
  test('asks nobody when the known offers make one', async () => {
    const world = createWorld(['a'])
    expect(await world.find()).toEqual(['a'])
    expect(world.searches).toEqual([])
  })

  test('asks the swarm for some seconds before calling blocks missing', async () => {
    const world = createWorld([])
    await expect(world.find()).rejects.toThrow(MissingBlocksError)
    expect(world.searches).toEqual([5000])
  })

  test('leaves a failed peer out while there is another', async () => {
    const world = createWorld(['a', 'b'])
    world.finder.exclude('a', 'lost')
    for (let i = 0; i < 5; i++) expect(await world.find()).toEqual(['b'])
    expect(world.searches).toEqual([])
  })

  test('lets a failed peer back after a time that doubles', async () => {
    const world = createWorld(['a'])
    world.finder.exclude('a', 'refused')
    world.finder.exclude('a', 'refused')
    world.clock.advance(59_999)
    await expect(world.find()).rejects.toThrow(MissingBlocksError)
    world.clock.advance(1)
    expect(await world.find()).toEqual(['a'])
  })

  test.each(['lost', 'refused'] as const)(
    'gives a %s peer one second chance before blocks are missing',
    async (failing) => {
      const world = createWorld(['a'])
      world.finder.exclude('a', failing)
      expect(await world.find()).toEqual(['a'])
      expect(world.searches).toEqual([5000])
      world.finder.exclude('a', failing)
      await expect(world.find()).rejects.toThrow(MissingBlocksError)
    },
  )

  test('a lost peer without a new offer gets none', async () => {
    const world = createWorld(['a'])
    world.finder.exclude('a', 'lost')
    world.forget('a')
    await expect(world.find()).rejects.toMatchObject({ spans: [span] })
  })

  test('never goes back to an engine that broke', async () => {
    const world = createWorld(['a'])
    world.finder.exclude('a', 'broken')
    world.clock.advance(1e7)
    await expect(world.find()).rejects.toThrow(MissingBlocksError)
  })
})
