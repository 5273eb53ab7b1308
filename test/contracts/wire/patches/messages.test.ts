import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestSchema } from '#contracts/digest.ts'
import { maximumHeadBytes } from '#contracts/patch-file/layout.ts'
import { encodeMessage } from '#contracts/wire/cbor.ts'
import {
  type Announcement,
  decodeSignedAnnouncement,
  encodeAnnouncement,
  encodeSignedAnnouncement,
  maximumAnnouncedPatches,
  maximumAnnouncementAddresses,
  maximumAnnouncementLifetimeMs,
  maximumSignedAnnouncementBytes,
} from '#contracts/wire/patches/announce.ts'
import {
  decodePatchAnswer,
  decodePatchQuestion,
  encodePatchAnswer,
  encodePatchQuestion,
  maximumPatchAnswerAnnouncements,
  maximumPatchAnswerBytes,
  maximumPatchQuestionBytes,
} from '#contracts/wire/patches/directory.ts'
import {
  decodeFetchAnswer,
  decodeFetchRequest,
  encodeFetchAnswer,
  encodeFetchRequest,
  maximumFetchAnswerBytes,
  maximumFetchRequestBytes,
  maximumRangeBytes,
} from '#contracts/wire/patches/fetch.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'
import { exampleAnnouncement, exampleDigest, examplePeerId } from '../examples.ts'

const signature = new Uint8Array(64)
const decoded = (message: unknown) =>
  decodeSignedAnnouncement(encodeSignedAnnouncement(encodeMessage(message), signature))
const [offered] = exampleAnnouncement.offered

describe('an announcement of patches', () => {
  it('has room for all it may name, with the longest numbers and addresses', () => {
    const largest: Announcement = {
      ...exampleAnnouncement,
      addresses: new Array(maximumAnnouncementAddresses).fill(`/dns4/${'a'.repeat(80)}/tcp/65535/p2p/${examplePeerId}`),
      offered: new Array(maximumAnnouncedPatches).fill({
        ...offered,
        sizeBytes: Number.MAX_SAFE_INTEGER,
        headBytes: maximumHeadBytes,
      }),
      withdrawn: [],
      sequence: Number.MAX_SAFE_INTEGER,
    }
    const bytes = encodeSignedAnnouncement(encodeAnnouncement(largest), signature)
    expect(bytes.length).toBeLessThanOrEqual(maximumSignedAnnouncementBytes)
    expect(decodeSignedAnnouncement(bytes).message).toEqual(largest)
  })

  it.each([
    ['of another version', { version: 2 }, 'version'],
    ['of a peer without a proper id', { peerId: 'somebody' }, 'peerId'],
    ['with five addresses', { addresses: new Array(5).fill('/ip4/127.0.0.1/tcp/1') }, 'addresses'],
    ['with an endless address', { addresses: ['a'.repeat(161)] }, 'addresses.0'],
    ['of too many patches', { offered: new Array(17).fill(offered) }, 'offered'],
    ['that withdraws too many', { withdrawn: new Array(17).fill(exampleDigest) }, 'withdrawn'],
    ['of a patch without a digest', { offered: [{ ...offered, digest: 'AB' }] }, 'offered.0.digest'],
    ['of an empty patch', { offered: [{ ...offered, sizeBytes: 0 }] }, 'offered.0.sizeBytes'],
    [
      'of a head that is too long',
      { offered: [{ ...offered, headBytes: maximumHeadBytes + 1 }] },
      'offered.0.headBytes',
    ],
    ['of a head longer than its patch', { offered: [{ ...offered, sizeBytes: 10, headBytes: 11 }] }, 'head'],
    ['with a sequence below one', { sequence: 0 }, 'sequence'],
    ['for longer than an hour', { lifetimeMs: maximumAnnouncementLifetimeMs + 1 }, 'lifetimeMs'],
    ['with fields nobody knows', { extra: 1 }, 'patch-announce.announcement'],
  ])('%s is refused, and the field is named', (_, fields, where) => {
    expect(() => decoded({ ...exampleAnnouncement, ...fields })).toThrow(ProtocolViolationError)
    expect(() => decoded({ ...exampleAnnouncement, ...fields })).toThrow(where)
  })

  it.each([
    ['with a signature of the wrong length', encodeSignedAnnouncement(new Uint8Array(10), new Uint8Array(63))],
    ['longer than one can be', new Uint8Array(maximumSignedAnnouncementBytes + 1)],
    ['without a signature', encodeMessage({ announcement: encodeAnnouncement(exampleAnnouncement) })],
  ])('%s is refused', (_, bytes) => {
    expect(() => decodeSignedAnnouncement(bytes)).toThrow(ProtocolViolationError)
  })
})

describe('the directory of patches', () => {
  it('is asked for a base, a patch, or everything', () => {
    for (const question of [
      { baseDigest: exampleDigest, digest: null },
      { baseDigest: null, digest: exampleDigest },
      { baseDigest: null, digest: null },
    ]) {
      const bytes = encodePatchQuestion(question)
      expect(decodePatchQuestion(bytes)).toEqual({ type: 'patches?', ...question })
      expect(bytes.length).toBeLessThanOrEqual(maximumPatchQuestionBytes)
    }
  })

  it('answers with as many announcements as one frame takes, the first first', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(maximumSignedAnnouncementBytes), { maxLength: 100 }), (lengths) => {
        const bytes = encodePatchAnswer(
          lengths.map((length, index) => ({ signed: new Uint8Array(length), remainingMs: index })),
        )
        expect(bytes.length).toBeLessThanOrEqual(maximumPatchAnswerBytes)
        const { announcements } = decodePatchAnswer(bytes)
        expect(announcements.map(({ remainingMs }) => remainingMs)).toEqual(announcements.map((_, index) => index))
      }),
      { numRuns: 50 },
    )
  })

  it.each([
    [
      'too many announcements',
      new Array(maximumPatchAnswerAnnouncements + 1).fill({ signed: signature, remainingMs: 1 }),
    ],
    [
      'a lifetime longer than announcements have',
      [{ signed: signature, remainingMs: maximumAnnouncementLifetimeMs + 1 }],
    ],
    ['one too long', [{ signed: new Uint8Array(maximumSignedAnnouncementBytes + 1), remainingMs: 1 }]],
    ['text for bytes', [{ signed: 'abc', remainingMs: 1 }]],
  ])('is not believed when it answers with %s', (_, announcements) => {
    expect(() => decodePatchAnswer(encodeMessage({ type: 'patches', announcements }))).toThrow(ProtocolViolationError)
  })
})

describe('a fetch', () => {
  const range = { digest: exampleDigest, offset: 0, length: 1 }

  it('asks for a range, and is told yes or no', () => {
    const largest = { ...range, offset: Number.MAX_SAFE_INTEGER, length: maximumRangeBytes }
    const bytes = encodeFetchRequest(largest)
    expect(bytes.length).toBeLessThanOrEqual(maximumFetchRequestBytes)
    expect(decodeFetchRequest(bytes)).toEqual({ type: 'bytes?', ...largest })
    for (const answer of [{ type: 'bytes' }, { type: 'refused', reason: 'unknown' }] as const) {
      const said = encodeFetchAnswer(answer)
      expect(said.length).toBeLessThanOrEqual(maximumFetchAnswerBytes)
      expect(decodeFetchAnswer(said)).toEqual(answer)
    }
  })

  it.each([
    ['nothing', { length: 0 }],
    ['more than a range', { length: maximumRangeBytes + 1 }],
    ['a place before the beginning', { offset: -1 }],
    ['a broken place', { offset: 0.5 }],
    ['a name that is no digest', { digest: '../../etc/passwd' }],
    ['something else', { type: 'patches?' }],
  ])('of %s is refused', (_, fields) => {
    expect(() => decodeFetchRequest(encodeMessage({ type: 'bytes?', ...range, ...fields }))).toThrow(
      ProtocolViolationError,
    )
  })
})

describe('messages of the exchange', () => {
  const good = {
    announcement: encodeSignedAnnouncement(encodeAnnouncement(exampleAnnouncement), signature),
    question: encodePatchQuestion({ baseDigest: digestSchema.parse(exampleDigest), digest: null }),
    answer: encodePatchAnswer([{ signed: signature, remainingMs: 1 }]),
    request: encodeFetchRequest({ digest: exampleDigest, offset: 1, length: 2 }),
    reply: encodeFetchAnswer({ type: 'bytes' }),
  }

  it.each([
    ['announcement', decodeSignedAnnouncement],
    ['question', decodePatchQuestion],
    ['answer', decodePatchAnswer],
    ['request', decodeFetchRequest],
    ['reply', decodeFetchAnswer],
  ] as const)(
    'of random bytes, or with random bytes changed: a protocol violation or a message (%s)',
    (name, decode) => {
      const bytes = good[name]
      const changed = fc
        .array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
        .map((changes) => {
          const copy = bytes.slice()
          for (const [index, value] of changes) copy[index] = value
          return copy
        })
      fc.assert(
        fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 400 })), (input) => {
          try {
            decode(input)
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolViolationError)
          }
        }),
        { numRuns: 400 },
      )
    },
  )
})
