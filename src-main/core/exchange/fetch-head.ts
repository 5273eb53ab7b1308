/** Heads of patches: what a list shows, and what a fetch begins with. */
import type { Digest } from '#contracts/digest.ts'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import { maximumHeadBytes } from '#contracts/patch-file/layout.ts'
import { type PatchHead, parsePatchHead, verifyPatchHead } from '#contracts/patch-file/patch-head.ts'
import { PeerLostError } from '../errors.ts'
import type { SignatureVerifier } from '../ports/keys.ts'
import type { PatchExchange, PatchOffer } from '../ports/patch-exchange.ts'
import type { Holder } from './holder-pool.ts'

/** The peer's fault for certain: these are not the bytes that the digest names. */
export class WrongBytesError extends Error {
  override readonly name = 'WrongBytesError'
}

export interface FetchedHead {
  readonly head: PatchHead
  readonly bytes: Uint8Array
}

/**
 * Throws `WrongBytesError` when the peer lies, `PeerLostError` when it fails, and `PatchFormatError` when the patch is what
 * the digest names and no good all the same.
 */
export async function fetchHead(
  { exchange, verifier }: { readonly exchange: PatchExchange; readonly verifier: SignatureVerifier },
  digest: Digest,
  { peerId, offer }: Holder,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<FetchedHead> {
  const { headBytes } = offer
  if (headBytes > maximumHeadBytes) throw new WrongBytesError('a head longer than heads are')
  const bytes = new Uint8Array(headBytes)
  let filled = 0
  const { signal } = options
  for await (const piece of exchange.fetch(peerId, { digest, offset: 0, length: headBytes }, signal && { signal })) {
    bytes.set(piece, filled)
    filled += piece.length
  }
  expectNamed(bytes, digest)
  const head = await verifyPatchHead(bytes, verifier)
  if (head.sizeBytes !== offer.sizeBytes || head.header.base.digest !== offer.baseDigest) {
    throw new WrongBytesError('it announced the patch with another size or base')
  }
  return { head, bytes }
}

/** A head that does not even parse cannot be what an honest peer has checked and offers. */
function expectNamed(bytes: Uint8Array, digest: Digest): void {
  let actual: Digest | null = null
  try {
    actual = parsePatchHead(bytes).digest
  } catch (cause) {
    if (cause instanceof PatchFormatError) throw new WrongBytesError(cause.message, { cause })
    throw cause
  }
  if (actual !== digest) throw new WrongBytesError(`sent patch ${actual} instead`)
}

export interface FetchHeadsOptions {
  readonly onHead: (fetched: FetchedHead) => void
  readonly signal?: AbortSignal
  /** Longer heads are not fetched for a list. */
  readonly maximumHeadBytes?: number
  readonly maximumHeads?: number
}

const atOnce = 4
const holdersAsked = 2

/** The heads of what was found, a few at once, each from one of its first holders; those that fail are left out. */
export async function fetchHeads(
  components: { readonly exchange: PatchExchange; readonly verifier: SignatureVerifier },
  offers: readonly PatchOffer[],
  options: FetchHeadsOptions,
): Promise<void> {
  const { signal, maximumHeadBytes: longest = 256 * 1024, maximumHeads = 512 } = options
  const waiting = offers.filter(({ headBytes }) => headBytes <= longest).slice(0, maximumHeads)
  const work = async () => {
    for (let offer = waiting.shift(); offer !== undefined; offer = waiting.shift()) {
      signal?.throwIfAborted()
      const fetched = await fetchFromSome(components, offer, signal)
      if (fetched !== null) options.onHead(fetched)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

async function fetchFromSome(
  components: { readonly exchange: PatchExchange; readonly verifier: SignatureVerifier },
  offer: PatchOffer,
  signal: AbortSignal | undefined,
): Promise<FetchedHead | null> {
  for (const peerId of offer.holders.slice(0, holdersAsked)) {
    try {
      return await fetchHead(components, offer.digest, { peerId, offer }, { signal })
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof WrongBytesError) components.exchange.reportLiar(peerId)
      else if (error instanceof PatchFormatError) return null
      else if (!(error instanceof PeerLostError)) throw error
    }
  }
  return null
}
