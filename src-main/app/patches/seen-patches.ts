/** Patches that are not here, whose heads have been fetched and verified; known for as long as somebody offers them. */
import type { Digest } from '#contracts/digest.ts'
import { fetchHeads } from '#core/exchange/fetch-head.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import type { PatchExchange, PatchOffer } from '#core/ports/patch-exchange.ts'
import { factsOf, type PatchFacts } from './summaries.ts'

export interface SeenPatch {
  readonly facts: PatchFacts
  readonly seenAtMs: number
}

export interface SeenPatches {
  /** Fetches the heads of those that are not known yet. */
  look(offers: readonly PatchOffer[], options: { readonly signal?: AbortSignal }): Promise<void>
  all(): readonly SeenPatch[]
  forget(digest: Digest): void
}

const maximumSeen = 1_000

export function createSeenPatches(
  components: { readonly exchange: PatchExchange; readonly verifier: SignatureVerifier; readonly clock: Clock },
  init: { readonly onChange: () => void },
): SeenPatches {
  const seen = new Map<Digest, SeenPatch>()

  function see(digest: Digest, patch: SeenPatch): void {
    const [oldest] = seen.keys()
    if (seen.size >= maximumSeen && oldest !== undefined) seen.delete(oldest)
    seen.set(digest, patch)
    init.onChange()
  }

  return {
    async look(offers, { signal }) {
      const unknown = offers.filter(({ digest }) => !seen.has(digest))
      await fetchHeads(components, unknown, {
        onHead: ({ head }) => see(head.digest, { facts: factsOf(head), seenAtMs: components.clock.now() }),
        ...(signal && { signal }),
      })
    },
    all: () => [...seen.values()],
    forget: (digest) => void seen.delete(digest),
  }
}
