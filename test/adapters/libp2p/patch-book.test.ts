import { beforeEach, describe, expect, it } from 'vitest'
import {
  liarMs,
  maxClaimsPerHolder,
  maxClaimsPerSource,
  maxHoldersPerPatch,
  maxPatchClaims,
  rememberSequenceMs,
} from '#adapters/libp2p/limits.ts'
import { createPatchBook, type PatchBook } from '#adapters/libp2p/patch-book.ts'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import { type AnnouncedPatch, type Announcement, encodeAnnouncement } from '#contracts/wire/patches/announce.ts'
import { createFakeClock, type FakeClock } from '#test/fakes/clock.ts'

const digestOf = (number: number) => digestSchema.parse(number.toString(16).padStart(64, '0'))
const base = digestOf(1)
const patchOf = (number: number, fields: Partial<AnnouncedPatch> = {}): AnnouncedPatch => ({
  digest: digestOf(1_000 + number),
  baseDigest: base,
  sizeBytes: 1_000,
  headBytes: 500,
  ...fields,
})
const everything = { baseDigest: null, digest: null }

let clock: FakeClock
let book: PatchBook
let sequence: number
beforeEach(() => {
  clock = createFakeClock()
  book = createPatchBook({ clock })
  sequence = 0
})

function announce(
  peerId: string,
  offered: readonly AnnouncedPatch[],
  options: Partial<Announcement> & { source?: string; remainingMs?: number } = {},
): boolean {
  const { source = peerId, remainingMs, ...fields } = options
  sequence += 1
  const message: Announcement = {
    version: 1,
    peerId,
    addresses: [`/dns4/${peerId}/tcp/1`],
    offered: [...offered],
    withdrawn: [],
    sequence,
    lifetimeMs: 600_000,
    ...fields,
  }
  const bytes = encodeAnnouncement(message)
  const signed = { message, payload: bytes, signature: new Uint8Array(64) }
  return book.receive({ signed, bytes, source, ...(remainingMs === undefined ? {} : { remainingMs }) })
}

const holders = (digest: Digest) => book.offers({ baseDigest: null, digest }).flatMap((offer) => offer.holders)

describe('the book of patches', () => {
  it('adds up what a holder says, and knows it by base and by patch', () => {
    announce('a', [patchOf(1)])
    announce('a', [patchOf(2, { baseDigest: digestOf(2) })])
    announce('b', [patchOf(1)])
    expect(book.offers(everything)).toHaveLength(2)
    expect(book.offers({ baseDigest: base, digest: null })).toEqual([{ ...patchOf(1), holders: ['a', 'b'] }])
    expect(holders(patchOf(2).digest)).toEqual(['a'])
    expect(book.addressesOf('a')).toEqual(['/dns4/a/tcp/1'])
  })

  it('names who was heard of last first', () => {
    announce('a', [patchOf(1)])
    clock.advance(10)
    announce('b', [patchOf(1)])
    expect(holders(patchOf(1).digest)).toEqual(['b', 'a'])
  })

  it('keeps apart what contradicts itself: a liar talks no patch away', () => {
    announce('liar', [patchOf(1, { sizeBytes: 7_000, baseDigest: digestOf(9) })])
    announce('honest', [patchOf(1)])
    expect(book.offers({ baseDigest: null, digest: patchOf(1).digest })).toHaveLength(2)
    expect(book.offers({ baseDigest: base, digest: null })).toEqual([{ ...patchOf(1), holders: ['honest'] }])
  })

  it('forgets what is withdrawn, also when an older word comes late', () => {
    announce('a', [patchOf(1), patchOf(2)])
    announce('a', [], { withdrawn: [patchOf(1).digest] })
    expect(holders(patchOf(1).digest)).toEqual([])
    expect(holders(patchOf(2).digest)).toEqual(['a'])
    expect(announce('a', [patchOf(1)], { sequence: 1 })).toBe(false)
    expect(announce('a', [patchOf(1)])).toBe(true)
  })

  it('keeps nothing of a withdrawal of what it never knew', () => {
    expect(announce('a', [], { withdrawn: [patchOf(1).digest] })).toBe(false)
    expect(book.size).toBe(0)
  })

  it('lets a claim end in its time, which hearsay only shortens', () => {
    announce('a', [patchOf(1)], { lifetimeMs: 10_000 })
    announce('b', [patchOf(2)], { lifetimeMs: 10_000, source: 'a', remainingMs: 2_000 })
    announce('c', [patchOf(3)], { lifetimeMs: 10_000, source: 'a', remainingMs: 99_000 })
    clock.advance(2_000)
    expect(book.offers(everything).flatMap((offer) => offer.holders)).toEqual(['a', 'c'])
    expect(book.prune()).toBe(true)
    expect(book.prune()).toBe(false)
    clock.advance(8_000)
    expect(book.offers(everything)).toEqual([])
    clock.advance(rememberSequenceMs)
    book.prune()
    expect(book.size).toBe(0)
  })

  it('passes announcements on once each, with what is left of their lives', () => {
    announce('a', [patchOf(1), patchOf(2)])
    announce('b', [patchOf(3)], { lifetimeMs: 5_000 })
    clock.advance(1_000)
    const known = book.known(everything)
    expect(known.map(({ remainingMs }) => remainingMs)).toEqual([599_000, 4_000])
    expect(book.known({ baseDigest: null, digest: patchOf(3).digest })).toHaveLength(1)
  })

  it('disbelieves who failed until they speak again, and hears no liar for a while', () => {
    announce('a', [patchOf(1), patchOf(2)])
    expect(book.markLost('a', patchOf(1).digest)).toBe(true)
    expect(holders(patchOf(2).digest)).toEqual(['a'])
    book.markLost('a')
    expect(book.offers(everything)).toEqual([])
    expect(book.markLost('a')).toBe(false)
    announce('a', [patchOf(1)])
    expect(holders(patchOf(1).digest)).toEqual(['a'])
    book.markLiar('a')
    expect(holders(patchOf(1).digest)).toEqual([])
    expect(announce('a', [patchOf(1)])).toBe(false)
    clock.advance(liarMs)
    expect(announce('a', [patchOf(1)])).toBe(true)
  })

  it('remembers so much of one holder, one patch and one neighbour, and no more', () => {
    for (let number = 0; number < maxClaimsPerHolder + 20; number += 1) announce('much', [patchOf(number)])
    expect(book.offers(everything)).toHaveLength(maxClaimsPerHolder)
    for (let number = 0; number < maxHoldersPerPatch + 20; number += 1) announce(`many ${number}`, [patchOf(5_000)])
    expect(holders(patchOf(5_000).digest)).toHaveLength(maxHoldersPerPatch)
    const before = book.size
    for (let number = 0; number < maxClaimsPerSource + 100; number += 1) {
      announce(`hearsay ${number}`, [patchOf(10_000 + number)], { source: 'gossip' })
    }
    expect(book.size - before).toBe(maxClaimsPerSource)
  })

  it('when it is full, lets hearsay go for who speaks for itself, never the other way round', () => {
    for (let number = 0; book.size < maxPatchClaims; number += 1) {
      announce(`hearsay ${number}`, [patchOf(number)], { source: `gossip ${Math.floor(number / 1_000)}` })
    }
    expect(announce('late', [patchOf(90_000)], { source: 'gossip 9' })).toBe(false)
    expect(announce('self', [patchOf(90_000)])).toBe(true)
    expect(holders(patchOf(90_000).digest)).toEqual(['self'])
    expect(book.size).toBe(maxPatchClaims)
  })
})
