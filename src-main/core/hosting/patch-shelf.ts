/**
 * Patches prepared for one runner (or one model's ends), shared by the sessions that use them. A patch that nobody uses any
 * more stays within a bound, as the next text is likely to want it again.
 */
import type { Digest } from '#contracts/digest.ts'
import { QuotaExceededError } from '../errors.ts'
import type { LoadedPatch, PatchWeights } from '../ports/engine.ts'

export interface PatchShelf {
  /** All or none. Throws what looking one up or preparing it throws, `QuotaExceededError` when they do not fit. */
  borrow(patches: readonly Digest[], signal?: AbortSignal): Promise<PatchLoan>
  /** Frees what nobody has borrowed; the rest when it comes back. */
  close(): void
}

export interface PatchLoan {
  /** In the order they were asked for. */
  readonly patches: readonly LoadedPatch[]
  /** Idempotent. */
  giveBack(): void
}

export interface PatchShelfComponents {
  readonly weights: (patch: Digest, signal?: AbortSignal) => Promise<PatchWeights>
  readonly load: (weights: PatchWeights) => Promise<LoadedPatch>
}

interface Place {
  readonly digest: Digest
  readonly loading: Promise<LoadedPatch>
  bytes: number
  users: number
}

export interface PatchShelfLimits {
  /** What may lie there unused. */
  readonly unusedBytes: number
  /** What all may take that are in use. */
  readonly usedBytes: number
}

export function createPatchShelf(
  { weights, load }: PatchShelfComponents,
  { unusedBytes, usedBytes }: PatchShelfLimits,
): PatchShelf {
  /** Least recently used first. */
  const places = new Map<Digest, Place>()
  let closed = false

  async function prepare(digest: Digest, signal?: AbortSignal): Promise<LoadedPatch> {
    return await load(await weights(digest, signal))
  }

  function take(digest: Digest, signal?: AbortSignal): Place {
    const known = places.get(digest)
    const place = known ?? { digest, loading: prepare(digest, signal), bytes: 0, users: 0 }
    places.delete(digest)
    places.set(digest, place)
    place.users += 1
    if (known === undefined) {
      place.loading.then(
        ({ weightBytes }) => {
          place.bytes = weightBytes
        },
        () => forget(place),
      )
    }
    return place
  }

  function forget(place: Place): void {
    if (places.get(place.digest) === place) places.delete(place.digest)
  }

  function release(place: Place): void {
    place.users -= 1
    sweep()
  }

  function sweep(): void {
    const unused = [...places.values()].filter(({ users }) => users === 0)
    let excess = unused.reduce((sum, { bytes }) => sum + bytes, 0) - (closed ? -1 : unusedBytes)
    for (const place of unused) {
      if (excess <= 0) return
      forget(place)
      excess -= closed ? 0 : place.bytes
      place.loading.then(
        (loaded) => loaded.dispose(),
        () => undefined,
      )
    }
  }

  function checkRoom(): void {
    const used = [...places.values()].reduce((sum, { users, bytes }) => (users > 0 ? sum + bytes : sum), 0)
    if (used > usedBytes) throw new QuotaExceededError('patches in memory', used, usedBytes)
  }

  return {
    async borrow(digests, signal) {
      const taken = digests.map((digest) => take(digest, signal))
      const giveBack = () => {
        for (const place of taken.splice(0)) release(place)
      }
      try {
        const patches = await Promise.all(taken.map(({ loading }) => loading))
        signal?.throwIfAborted()
        checkRoom()
        return { patches, giveBack }
      } catch (error) {
        giveBack()
        throw error
      }
    },
    close() {
      closed = true
      sweep()
    },
  }
}
