/** Serving bytes of patches: piece by piece, as fast as the other side takes them, within shares. */
import type { Connection, Stream } from '@libp2p/interface'
import { RateLimiter } from '@libp2p/utils'
import {
  decodeFetchRequest,
  encodeFetchAnswer,
  type FetchRequest,
  maximumFetchRequestBytes,
  maximumPieceBytes,
} from '#contracts/wire/patches/fetch.ts'
import type { PatchSource } from '#core/ports/patch-exchange.ts'
import { asError } from './as-error.ts'
import { createFrameChannel, type FrameChannel } from './frame-channel.ts'
import { fetchRequestsPerPeer, maxFetches, maxFetchesPerPeer, type Timeouts } from './limits.ts'
import type { Log } from './log.ts'

export interface PatchServer {
  /** Handles one inbound stream. Never throws. */
  answer(stream: Stream, connection: Connection): Promise<void>
  /** Null: nothing is served any more, and what is under way ends. */
  serve(source: PatchSource | null): void
}

export function createPatchServer(
  components: { readonly log: Log },
  init: { readonly timeouts: Timeouts },
): PatchServer {
  const { log } = components
  const { helloMs, pieceMs, closeMs } = init.timeouts
  const { points, seconds } = fetchRequestsPerPeer
  const allowance = new RateLimiter({ points, duration: seconds })
  const busyWith = new Map<string, number>()
  let serving = 0
  let source: PatchSource | null = null

  function enter(peerId: string): boolean {
    const own = busyWith.get(peerId) ?? 0
    if (serving >= maxFetches || own >= maxFetchesPerPeer) return false
    busyWith.set(peerId, own + 1)
    serving += 1
    return true
  }

  function leave(peerId: string): void {
    const left = (busyWith.get(peerId) ?? 1) - 1
    if (left === 0) busyWith.delete(peerId)
    else busyWith.set(peerId, left)
    serving -= 1
  }

  async function answer(stream: Stream, connection: Connection): Promise<void> {
    const peerId = connection.remotePeer.toString()
    const channel = createFrameChannel(stream)
    try {
      allowance.consume(peerId, 1)
      const body = await channel.read(maximumFetchRequestBytes, { waitMs: helloMs, frameMs: helloMs })
      if (body === null) return channel.abort(new Error('no request'))
      await respond(channel, peerId, decodeFetchRequest(body))
      await channel.close(closeMs)
    } catch (error) {
      log.debug({ peerId, error }, 'bytes of a patch not served')
      channel.abort(asError(error))
    }
  }

  async function respond(channel: FrameChannel, peerId: string, request: FetchRequest): Promise<void> {
    const refuse = (reason: 'unknown' | 'busy') =>
      channel.write([encodeFetchAnswer({ type: 'refused', reason })], { timeoutMs: pieceMs })
    if (!enter(peerId)) return await refuse('busy')
    try {
      const first = await pieceOf(request, 0)
      if (first === null) return await refuse('unknown')
      await channel.write([encodeFetchAnswer({ type: 'bytes' })], { timeoutMs: pieceMs })
      let sent = 0
      for (let piece: Uint8Array | null = first; piece !== null; piece = await pieceOf(request, sent)) {
        await channel.write([piece], { timeoutMs: pieceMs })
        sent += piece.length
        if (sent === request.length) return
      }
      throw new Error('the patch is no longer offered')
    } finally {
      leave(peerId)
    }
  }

  async function pieceOf({ digest, offset, length }: FetchRequest, sent: number): Promise<Uint8Array | null> {
    // The first piece is read with the end of the range in mind: what lies outside of the patch is refused at once.
    if (sent === 0 && (await source?.bytes(digest, offset + length - 1, 1)) == null) return null
    return (await source?.bytes(digest, offset + sent, Math.min(maximumPieceBytes, length - sent))) ?? null
  }

  return {
    answer,
    serve(next) {
      source = next
    },
  }
}
