/** Patches for sessions: out of the library, or, for those that peers bring, fetched into it first, within limits. */
import type { Digest } from '#contracts/digest.ts'
import { codeOf } from '#contracts/errors.ts'
import { WrongBaseError } from '#contracts/patch-file/errors.ts'
import { PatchNotFoundError, QuotaExceededError } from '#core/errors.ts'
import type { KeptPatch, PatchLibrary } from '#core/ports/patch-library.ts'
import type { PatchProvider } from '#core/ports/patch-provider.ts'

export interface PatchProviderComponents {
  readonly library: Pick<PatchLibrary, 'get' | 'read' | 'usage'>
  /** Brings a patch into the library, whole and verified; null when this node is in no swarm. */
  readonly fetch:
    | ((patch: Digest, limits: { base: Digest; maximumBytes: number; signal: AbortSignal }) => Promise<void>)
    | null
}

/** What a stranger's session may make this node fetch. */
export const maximumFetchedBytes = 64 * 1024 ** 2
/** Of the library's quota: the rest is the owner's, whatever strangers ask for. */
const strangersShare = 0.5

export function createPatchProvider({ library, fetch }: PatchProviderComponents): PatchProvider {
  async function complete(name: string): Promise<KeptPatch> {
    const patch = await library.get(name)
    if (!patch.complete) throw new PatchNotFoundError(name)
    return patch
  }

  async function isHere(patch: Digest): Promise<boolean> {
    try {
      await complete(patch)
      return true
    } catch (error) {
      if (codeOf(error) === 'patch-not-found') return false
      throw error
    }
  }

  async function expectRoom(): Promise<void> {
    const { bytes, quotaBytes } = await library.usage()
    const wanted = bytes + maximumFetchedBytes
    const maximum = quotaBytes * strangersShare
    if (wanted > maximum) throw new QuotaExceededError('patches for sessions of peers', wanted, maximum)
  }

  return {
    async resolve(name, base) {
      const patch = await complete(name)
      checkBase(patch, base)
      return patch.digest
    },
    async weights(digest, { base, mayFetch, signal }) {
      if (mayFetch && fetch !== null && !(await isHere(digest))) {
        await expectRoom()
        await fetch(digest, { base, maximumBytes: maximumFetchedBytes, signal: signal ?? new AbortController().signal })
      }
      checkBase(await complete(digest), base)
      return await library.read(digest, signal ? { signal } : {})
    },
  }
}

function checkBase({ header }: KeptPatch, base: Digest): void {
  if (header.base.digest !== base) throw new WrongBaseError(base, header.base.digest)
}
