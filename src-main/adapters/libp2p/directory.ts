/** Asking a peer which offers it knows, and answering when asked: how a newcomer sees the swarm without waiting for gossip. */
import type { Connection, Stream } from '@libp2p/interface'
import { RateLimiter } from '@libp2p/utils'
import type { Digest } from '#contracts/digest.ts'
import {
  decodeAnswer,
  decodeQuestion,
  directoryProtocol,
  encodeAnswer,
  encodeQuestion,
  maximumAnswerBytes,
  maximumQuestionBytes,
} from '#contracts/wire/directory/messages.ts'
import { asError } from './as-error.ts'
import { createFrameChannel } from './frame-channel.ts'
import { directoryQuestionsPerPeer, type Timeouts } from './limits.ts'
import type { Log } from './log.ts'
import type { OfferBook } from './offer-book.ts'
import type { OfferIntake } from './offer-intake.ts'
import type { OwnOffer } from './own-offer.ts'

export interface Directory {
  /** Handles one inbound stream. Never throws. */
  answer(stream: Stream, connection: Connection): Promise<void>
  /** Asks the peer at the other end; what it says goes through the intake. Never throws. */
  ask(connection: Connection, modelDigest: Digest | null, signal?: AbortSignal): Promise<void>
}

export function createDirectory(
  components: {
    readonly book: OfferBook
    readonly intake: OfferIntake
    readonly ownOffer: OwnOffer
    readonly log: Log
  },
  init: { readonly timeouts: Timeouts },
): Directory {
  const { book, intake, ownOffer, log } = components
  const { directoryMs, closeMs } = init.timeouts
  const limits = { waitMs: directoryMs, frameMs: directoryMs, timeoutMs: directoryMs }
  const allowance = new RateLimiter({
    points: directoryQuestionsPerPeer.points,
    duration: directoryQuestionsPerPeer.seconds,
  })

  function offersFor(modelDigest: Digest | null) {
    const own = ownOffer.signed()
    const mine = own !== null && (modelDigest === null || ownOffer.current?.modelDigest === modelDigest) ? [own] : []
    return [...mine, ...fromAnywhere(book.known(modelDigest))]
  }

  async function answer(stream: Stream, connection: Connection): Promise<void> {
    const peerId = connection.remotePeer.toString()
    const channel = createFrameChannel(stream)
    try {
      allowance.consume(peerId, 1)
      const body = await channel.read(maximumQuestionBytes, limits)
      if (body === null) return channel.abort(new Error('no question'))
      await channel.write([encodeAnswer(offersFor(decodeQuestion(body).modelDigest))], limits)
      await channel.close(closeMs)
    } catch (error) {
      log.debug({ peerId, error }, 'directory question not answered')
      channel.abort(asError(error))
    }
  }

  async function ask(connection: Connection, modelDigest: Digest | null, signal?: AbortSignal): Promise<void> {
    const peerId = connection.remotePeer.toString()
    const until = AbortSignal.any([AbortSignal.timeout(directoryMs), ...(signal ? [signal] : [])])
    let stream: Stream | null = null
    try {
      stream = await connection.newStream(directoryProtocol, { signal: until })
      const channel = createFrameChannel(stream)
      await channel.write([encodeQuestion(modelDigest)], { ...limits, signal: until })
      const body = await channel.read(maximumAnswerBytes, { ...limits, signal: until })
      void channel.close(closeMs)
      for (const offer of body === null ? [] : decodeAnswer(body).offers) {
        await intake.take(offer.signed, peerId, offer.remainingMs)
      }
    } catch (error) {
      log.debug({ peerId, error }, 'directory gave no answer')
      stream?.abort(asError(error))
    }
  }

  return { answer, ask }
}

/** An answer has room for some of a long list: asked again, or elsewhere, others come first. */
function fromAnywhere<T>(list: readonly T[]): readonly T[] {
  const start = Math.floor(Math.random() * list.length)
  return [...list.slice(start), ...list.slice(0, start)]
}
