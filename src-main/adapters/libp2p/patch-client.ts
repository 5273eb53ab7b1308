/** Fetching bytes of a patch from one peer. */
import type { Stream } from '@libp2p/interface'
import {
  decodeFetchAnswer,
  encodeFetchRequest,
  maximumFetchAnswerBytes,
  maximumPieceBytes,
  maximumRangeBytes,
  patchFetchProtocol,
} from '#contracts/wire/patches/fetch.ts'
import { PeerLostError } from '#core/errors.ts'
import type { PatchExchange } from '#core/ports/patch-exchange.ts'
import { asError } from './as-error.ts'
import { createFrameChannel, type FrameChannel } from './frame-channel.ts'
import { maxFetchesPerPeer, type Timeouts } from './limits.ts'
import { createTurns } from './turns.ts'

type Range = Parameters<PatchExchange['fetch']>[1]

/** `unknown`: the peer has not got them. `busy`: it may have time later. `silent`: it cannot be reached, or broke off. */
export type FetchFailure = 'unknown' | 'busy' | 'silent'

export interface PatchClient {
  fetch: PatchExchange['fetch']
}

export function createPatchClient(
  components: {
    /** Throws `PeerLostError` or the signal's reason. */
    readonly openStream: (peerId: string, protocol: string, signal: AbortSignal | undefined) => Promise<Stream>
    readonly onFailure: (peerId: string, digest: Range['digest'], failure: FetchFailure) => void
  },
  init: { readonly timeouts: Timeouts },
): PatchClient {
  const { openStream, onFailure } = components
  const { pieceMs, closeMs } = init.timeouts
  // A peer serves no more of one node at once: the others wait here.
  const turns = createTurns(maxFetchesPerPeer)

  async function* fetch(
    peerId: string,
    range: Range,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    if (range.length < 1 || range.length > maximumRangeBytes) throw new RangeError(`a range of ${range.length} bytes`)
    const limits = { waitMs: pieceMs, frameMs: pieceMs, timeoutMs: pieceMs, ...(signal && { signal }) }
    let channel: FrameChannel | null = null
    let received = 0
    let refused: 'unknown' | 'busy' | null = null
    const done = await turns.take(peerId, signal)
    try {
      channel = createFrameChannel(await openStream(peerId, patchFetchProtocol, signal))
      await channel.write([encodeFetchRequest(range)], limits)
      const body = await channel.read(maximumFetchAnswerBytes, limits)
      const answer = body === null ? null : decodeFetchAnswer(body)
      if (answer?.type === 'refused') refused = answer.reason
      if (answer?.type !== 'bytes') throw new PeerLostError(peerId, refused ?? 'no answer')
      while (received < range.length) {
        const piece = await channel.read(Math.min(maximumPieceBytes, range.length - received), limits)
        if (piece === null) throw new PeerLostError(peerId, `${received} of ${range.length} bytes`)
        received += piece.length
        yield piece
      }
    } catch (cause) {
      channel?.abort(asError(cause))
      signal?.throwIfAborted()
      onFailure(peerId, range.digest, refused ?? 'silent')
      throw cause instanceof PeerLostError ? cause : new PeerLostError(peerId, whyOf(cause), { cause })
    } finally {
      done()
      // Also when whoever reads the pieces has had enough of them.
      if (received < range.length) channel?.abort(new Error('no more is wanted'))
      else void channel?.close(closeMs)
    }
  }

  return { fetch }
}

function whyOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
