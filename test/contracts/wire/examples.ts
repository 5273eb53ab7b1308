/** One fixed example of every message, and the bytes it must have for ever: `test/fixtures/wire/<name>.hex`. */
import { digestSchema } from '#contracts/digest.ts'
import { encodeOffer, type OfferMessage } from '#contracts/wire/announce/messages.ts'
import { encodeAnswer, encodeQuestion } from '#contracts/wire/directory/messages.ts'
import { type ClientControl, encodeControl, type HostControl } from '#contracts/wire/inference/messages.ts'
import { encodeTensor, type TensorFrame } from '#contracts/wire/inference/tensor.ts'
import { type Announcement, encodeAnnouncement } from '#contracts/wire/patches/announce.ts'
import { encodePatchAnswer, encodePatchQuestion } from '#contracts/wire/patches/directory.ts'
import { encodeFetchAnswer, encodeFetchRequest } from '#contracts/wire/patches/fetch.ts'

export const exampleDigest = digestSchema.parse('0123456789abcdef'.repeat(4))

/** Key pair of the seed 00 01 02 … 1f, the one of the announce test vector. */
export const examplePeerId = '12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB'

export const exampleOffer: OfferMessage = {
  version: 1,
  peerId: examplePeerId,
  addresses: [`/ip4/192.0.2.7/tcp/4001/p2p/${examplePeerId}`],
  modelDigest: exampleDigest,
  span: { start: 2, end: 4 },
  maxLength: 2048,
  nodeName: 'Grüner Salon',
  sequence: 1_790_000_000_001,
  issuedAtMs: 1_790_000_000_000,
  lifetimeMs: 45_000,
}
export const exampleWithdrawal: OfferMessage = { ...exampleOffer, span: null, sequence: exampleOffer.sequence + 1 }

export const exampleAnswerOffers = [{ signed: Uint8Array.of(1, 2, 3), remainingMs: 44_000 }]

export const exampleOpen: ClientControl = {
  type: 'open',
  sessionId: '6f1c2f0e-8d0b-4c53-9d3e-2a4d8f6b7c10',
  modelDigest: exampleDigest,
  span: { start: 2, end: 4 },
  maxLength: 512,
  hiddenSize: 2,
}
export const exampleClose: ClientControl = { type: 'close' }
export const exampleOpened: HostControl = { type: 'opened' }
export const exampleRefused: HostControl = { type: 'refused', reason: 'busy' }
export const exampleError: HostControl = { type: 'error', code: 'budget-exceeded' }

export const exampleSession = { hiddenSize: 2, maxLength: 512 }
export const exampleTensor: TensorFrame = { position: 7, tokens: 2, hidden: Float32Array.of(1, -2, 0.5, 3.25) }

export const exampleAnnouncement: Announcement = {
  version: 1,
  peerId: examplePeerId,
  addresses: [`/ip4/192.0.2.7/tcp/4001/p2p/${examplePeerId}`],
  offered: [
    {
      digest: exampleDigest,
      baseDigest: digestSchema.parse('fedcba9876543210'.repeat(4)),
      sizeBytes: 500_000,
      headBytes: 4_096,
    },
  ],
  withdrawn: [digestSchema.parse('00112233445566778899aabbccddeeff'.repeat(2))],
  sequence: 1_790_000_000_001,
  lifetimeMs: 600_000,
}
export const examplePatchAnnouncements = [{ signed: Uint8Array.of(1, 2, 3), remainingMs: 599_000 }]
export const exampleRange = { digest: exampleDigest, offset: 4_096, length: 65_536 }

export const exampleBytes: Readonly<Record<string, () => Uint8Array>> = {
  'announce-offer': () => encodeOffer(exampleOffer),
  'announce-withdrawal': () => encodeOffer(exampleWithdrawal),
  'directory-question-all': () => encodeQuestion(null),
  'directory-question-model': () => encodeQuestion(exampleDigest),
  'directory-answer': () => encodeAnswer(exampleAnswerOffers),
  'inference-open': () => encodeControl(exampleOpen),
  'inference-close': () => encodeControl(exampleClose),
  'inference-opened': () => encodeControl(exampleOpened),
  'inference-refused': () => encodeControl(exampleRefused),
  'inference-error': () => encodeControl(exampleError),
  'patch-announcement': () => encodeAnnouncement(exampleAnnouncement),
  'patch-directory-question-all': () => encodePatchQuestion({ baseDigest: null, digest: null }),
  'patch-directory-question-base': () => encodePatchQuestion({ baseDigest: exampleDigest, digest: null }),
  'patch-directory-question-patch': () => encodePatchQuestion({ baseDigest: null, digest: exampleDigest }),
  'patch-directory-answer': () => encodePatchAnswer(examplePatchAnnouncements),
  'patch-fetch-request': () => encodeFetchRequest(exampleRange),
  'patch-fetch-bytes': () => encodeFetchAnswer({ type: 'bytes' }),
  'patch-fetch-refused': () => encodeFetchAnswer({ type: 'refused', reason: 'busy' }),
  'inference-tensor': () => {
    const { header, payload } = encodeTensor(exampleTensor)
    return Uint8Array.of(...header, ...payload)
  },
}
