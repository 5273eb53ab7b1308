/** Asking a peer who has patches, and answering when asked. */
import type { Connection, Stream } from '@libp2p/interface'
import { RateLimiter } from '@libp2p/utils'
import type { Digest } from '#contracts/digest.ts'
import {
  decodePatchAnswer,
  decodePatchQuestion,
  encodePatchAnswer,
  encodePatchQuestion,
  maximumPatchAnswerBytes,
  maximumPatchQuestionBytes,
  patchDirectoryProtocol,
} from '#contracts/wire/patches/directory.ts'
import { asError } from './as-error.ts'
import { createFrameChannel } from './frame-channel.ts'
import { patchQuestionsPerPeer, type Timeouts } from './limits.ts'
import type { Log } from './log.ts'
import type { OwnPatches } from './own-patches.ts'
import type { PatchBook } from './patch-book.ts'
import type { PatchIntake } from './patch-intake.ts'

export interface WantedPatches {
  readonly baseDigest: Digest | null
  readonly digest: Digest | null
}

export interface PatchDirectory {
  /** Handles one inbound stream. Never throws. */
  answer(stream: Stream, connection: Connection): Promise<void>
  /** Asks the peer at the other end; what it says goes through the intake. Never throws. */
  ask(connection: Connection, wanted: WantedPatches, signal?: AbortSignal): Promise<void>
}

export function createPatchDirectory(
  components: {
    readonly book: PatchBook
    readonly intake: PatchIntake
    readonly ownPatches: OwnPatches
    readonly log: Log
  },
  init: { readonly timeouts: Timeouts },
): PatchDirectory {
  const { book, intake, ownPatches, log } = components
  const { directoryMs, closeMs } = init.timeouts
  const limits = { waitMs: directoryMs, frameMs: directoryMs, timeoutMs: directoryMs }
  const { points, seconds } = patchQuestionsPerPeer
  const allowance = new RateLimiter({ points, duration: seconds })

  async function answer(stream: Stream, connection: Connection): Promise<void> {
    const peerId = connection.remotePeer.toString()
    const channel = createFrameChannel(stream)
    try {
      allowance.consume(peerId, 1)
      const body = await channel.read(maximumPatchQuestionBytes, limits)
      if (body === null) return channel.abort(new Error('no question'))
      const wanted = decodePatchQuestion(body)
      const announcements = [...ownPatches.signed(wanted), ...fromAnywhere(book.known(wanted))]
      await channel.write([encodePatchAnswer(announcements)], limits)
      await channel.close(closeMs)
    } catch (error) {
      log.debug({ peerId, error }, 'question about patches not answered')
      channel.abort(asError(error))
    }
  }

  async function ask(connection: Connection, wanted: WantedPatches, signal?: AbortSignal): Promise<void> {
    const peerId = connection.remotePeer.toString()
    const until = AbortSignal.any([AbortSignal.timeout(directoryMs), ...(signal ? [signal] : [])])
    let stream: Stream | null = null
    try {
      stream = await connection.newStream(patchDirectoryProtocol, { signal: until })
      const channel = createFrameChannel(stream)
      await channel.write([encodePatchQuestion(wanted)], { ...limits, signal: until })
      const body = await channel.read(maximumPatchAnswerBytes, { ...limits, signal: until })
      void channel.close(closeMs)
      for (const { signed, remainingMs } of body === null ? [] : decodePatchAnswer(body).announcements) {
        await intake.take(signed, peerId, remainingMs)
      }
    } catch (error) {
      log.debug({ peerId, error }, 'no answer about patches')
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
