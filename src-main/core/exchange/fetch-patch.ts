/**
 * Fetching a patch from whoever has it. The head comes first and is verified; it has every section's digest, so each section
 * is verified when it is whole, and what is here after a crash need not be fetched again. A peer that sent a wrong section
 * alone has lied, and is reported. When several had a part in it, nobody knows who lied: then the section is taken from one
 * peer at a time.
 */
import type { Digest } from '#contracts/digest.ts'
import { PatchFormatError, WrongBaseError } from '#contracts/patch-file/errors.ts'
import { sectionPlaces } from '#contracts/patch-file/read-patch.ts'
import { PatchNotFoundError, PeerLostError, QuotaExceededError } from '../errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { SignatureVerifier } from '../ports/keys.ts'
import type { PatchExchange } from '../ports/patch-exchange.ts'
import type { IncomingPatch, KeptPatch, PatchLibrary } from '../ports/patch-library.ts'
import { type FetchedHead, fetchHead, WrongBytesError } from './fetch-head.ts'
import { createHolderPool, type HolderPool } from './holder-pool.ts'

export interface FetchComponents {
  readonly exchange: PatchExchange
  readonly library: PatchLibrary
  readonly verifier: SignatureVerifier
  readonly clock: Clock
}

export type FetchEvent =
  | {
      readonly type: 'progress'
      readonly receivedBytes: number
      readonly sizeBytes: number
      readonly peerId: string | null
    }
  /** It sent wrong bytes, failed or was too slow; the fetch goes on with others. */
  | { readonly type: 'dropped'; readonly peerId: string; readonly why: string }

export interface FetchOptions {
  readonly signal?: AbortSignal
  readonly onEvent?: (event: FetchEvent) => void
  /** Largest file that is wanted. */
  readonly maximumBytes?: number
  /** The model it is to be for. */
  readonly base?: Digest
  /** How long somebody who has it is looked for. */
  readonly searchMs?: number
}

/** Asked for at once; sections are small, and a question for each would be a wait for each. */
const rangeBytes = 16 * 1024 * 1024
/** A peer that gives less than this, over some seconds, is left when there is another. */
const slowBytesPerSecond = 32 * 1024
const slowAfterMs = 4_000

/**
 * The patch, whole and checked; one that is here already, at once. What arrived stays for the next try when it throws:
 * `PatchUnavailableError`, `WrongBaseError`, `QuotaExceededError`, `PatchFormatError` for a patch that is no good whoever
 * serves it, `StorageError`, or the signal's reason.
 */
export async function fetchPatch(
  components: FetchComponents,
  digest: Digest,
  options: FetchOptions = {},
): Promise<KeptPatch> {
  const kept = await findKept(components.library, digest)
  if (kept !== null) expectFits(kept, options)
  if (kept?.complete) return kept
  const { searchMs = 10_000, signal } = options
  const pool = createHolderPool(components, digest, { searchMs, signal })
  const { head, bytes } = await fetchHeadFromAny(components, digest, pool, options)
  expectFits(head, options)
  const incoming = await components.library.receive(bytes)
  try {
    await fetchSections(components, incoming, pool, options)
    return await incoming.finish()
  } finally {
    await incoming.close()
  }
}

async function findKept(library: PatchLibrary, digest: Digest): Promise<KeptPatch | null> {
  try {
    return await library.get(digest)
  } catch (error) {
    if (error instanceof PatchNotFoundError) return null
    throw error
  }
}

function expectFits(
  { header, sizeBytes }: Pick<KeptPatch, 'header' | 'sizeBytes'>,
  { base, maximumBytes = Number.POSITIVE_INFINITY }: FetchOptions,
): void {
  if (base !== undefined && header.base.digest !== base) throw new WrongBaseError(base, header.base.digest)
  if (sizeBytes > maximumBytes) throw new QuotaExceededError('patch', sizeBytes, maximumBytes)
}

async function fetchHeadFromAny(
  components: FetchComponents,
  digest: Digest,
  pool: HolderPool,
  { signal, onEvent }: FetchOptions,
): Promise<FetchedHead> {
  for (;;) {
    const holder = await pool.next()
    try {
      return await fetchHead(components, digest, holder, { signal })
    } catch (error) {
      signal?.throwIfAborted()
      drop(pool, holder.peerId, error, onEvent)
    }
  }
}

/** Goes on with others after a failure that is the peer's; any other is thrown. */
function drop(pool: HolderPool, peerId: string, error: unknown, onEvent: FetchOptions['onEvent']): void {
  if (!(error instanceof WrongBytesError || error instanceof PeerLostError || error instanceof TooSlowError))
    throw error
  const isBusy = error instanceof PeerLostError && error.params['why'] === 'busy'
  if (isBusy) pool.busy(peerId)
  else if (error instanceof WrongBytesError) pool.lied(peerId, error.message)
  else pool.failed(peerId, error.message)
  if (!isBusy) onEvent?.({ type: 'dropped', peerId, why: error.message.slice(0, 300) })
}

class TooSlowError extends Error {
  override readonly name = 'TooSlowError'
}

async function fetchSections(
  { exchange, clock }: FetchComponents,
  incoming: IncomingPatch,
  pool: HolderPool,
  options: FetchOptions,
): Promise<void> {
  const { signal, onEvent } = options
  const { digest, sizeBytes } = incoming.patch
  const places = sectionPlaces(incoming.patch)
  const sources = createSectionSources(incoming)

  async function fetchFrom(peerId: string, at: { section: number; offset: number }): Promise<void> {
    const offset = (places[at.section] ?? 0) + at.offset
    const range = { digest, offset, length: Math.min(rangeBytes, sizeBytes - offset) }
    const tooSlow = createSlowness(clock, () => pool.hasOther(peerId))
    for await (const piece of exchange.fetch(peerId, range, signal && { signal })) {
      await sources.append(piece, peerId)
      progress(peerId)
      if (tooSlow(piece.length)) throw new TooSlowError('too slow')
    }
  }

  function progress(peerId: string | null): void {
    const { receivedBytes } = incoming.patch
    onEvent?.({ type: 'progress', receivedBytes, sizeBytes, peerId })
  }

  progress(null)
  for (let at = incoming.next(); at !== null; at = incoming.next()) {
    const { peerId } = await pool.next()
    try {
      const from = await sources.takeOver(at, peerId)
      await fetchFrom(peerId, from)
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof MixedSectionError) continue
      drop(pool, peerId, error, onEvent)
    }
  }
}

/** Wrong, and several peers had a part in it. */
class MixedSectionError extends Error {
  override readonly name = 'MixedSectionError'
}

interface SectionSources {
  /** A peer goes on at `at`, or begins the section anew when it must come from one alone. -> where it begins */
  takeOver(at: { section: number; offset: number }, peerId: string): Promise<{ section: number; offset: number }>
  /** Pieces do not know of sections. Throws `WrongBytesError` or `MixedSectionError`. */
  append(piece: Uint8Array, peerId: string): Promise<void>
}

/** Remembers who had a part in the section under way. */
function createSectionSources(incoming: IncomingPatch): SectionSources {
  const { sections } = incoming.patch.header
  const parts = new Set<string>()
  let suspect: number | null = null
  // What an earlier run left may have come from anybody.
  if ((incoming.next()?.offset ?? 0) > 0) parts.add('')

  async function appendSome(bytes: Uint8Array, section: number, peerId: string): Promise<void> {
    parts.add(peerId)
    try {
      const { whole } = await incoming.append(bytes)
      if (whole) parts.clear()
    } catch (error) {
      if (!(error instanceof PatchFormatError)) throw error
      const alone = parts.size === 1
      parts.clear()
      suspect = section
      if (alone) throw new WrongBytesError(error.message, { cause: error })
      throw new MixedSectionError(error.message, { cause: error })
    }
  }

  return {
    async takeOver(at, peerId) {
      const isMixed = at.offset > 0 && !(parts.size === 1 && parts.has(peerId))
      if (!isMixed || suspect !== at.section) return at
      await incoming.discardSection()
      parts.clear()
      return { section: at.section, offset: 0 }
    },
    async append(piece, peerId) {
      for (let offset = 0; offset < piece.length; ) {
        const at = incoming.next()
        if (at === null) throw new WrongBytesError('more bytes than the patch has')
        const left = (sections[at.section]?.bytes ?? 0) - at.offset
        const some = piece.subarray(offset, offset + left)
        await appendSome(some, at.section, peerId)
        offset += some.length
      }
    },
  }
}

/** Counts bytes; true when a window of some seconds brought too few and there is somebody else. */
function createSlowness(clock: Clock, hasOther: () => boolean): (bytes: number) => boolean {
  let sinceMs = clock.monotonicMs()
  let received = 0
  return (bytes) => {
    received += bytes
    const elapsedMs = clock.monotonicMs() - sinceMs
    if (elapsedMs < slowAfterMs) return false
    const isSlow = received * 1_000 < slowBytesPerSecond * elapsedMs
    sinceMs = clock.monotonicMs()
    received = 0
    return isSlow && hasOther()
  }
}
