/** Patches as compute takes them: from the library of this machine, or fetched for the moment's need. */
import type { Digest } from '#contracts/digest.ts'
import type { PatchWeights } from './engine.ts'

export interface PatchProvider {
  /**
   * What a patch is called here: a digest, a prefix of it of eight characters or more, a tag. Throws `PatchNotFoundError`
   * unless all of it is here, `WrongBaseError` for one on another base.
   */
  resolve(name: string, base: Digest): Promise<Digest>
  /**
   * Throws `WrongBaseError`, `PatchNotFoundError` for one that is not here and may not be fetched, and
   * `PatchUnavailableError` or `QuotaExceededError` when fetching it fails.
   */
  weights(
    patch: Digest,
    wanted: { readonly base: Digest; readonly mayFetch: boolean; readonly signal?: AbortSignal },
  ): Promise<PatchWeights>
}
