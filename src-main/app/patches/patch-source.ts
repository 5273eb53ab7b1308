/** What this node offers to peers and serves them: the patches of the library that are shared, and nothing else of it. */
import type { Digest } from '#contracts/digest.ts'
import { codeOf } from '#contracts/errors.ts'
import type { PatchSource } from '#core/ports/patch-exchange.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'

/** Also for a node that serves without an owner at a desk. `stop` ends what it listens to. */
export function createPatchSource(library: PatchLibrary): PatchSource & { stop(): void } {
  // Asked for every piece that is served, so looked up once after every change only.
  let shared: Promise<ReadonlySet<Digest>> | null = null
  const stop = library.onChange(() => {
    shared = null
  })

  const sharedOnes = async () => (await library.list({ complete: true })).filter((patch) => patch.shared)

  async function isShared(digest: Digest): Promise<boolean> {
    shared ??= sharedOnes().then((patches) => new Set(patches.map((patch) => patch.digest)))
    try {
      return (await shared).has(digest)
    } catch (error) {
      shared = null
      throw error
    }
  }

  return {
    stop,
    offered: async () =>
      (await sharedOnes()).map(({ digest, header, sizeBytes, headBytes }) => ({
        digest,
        baseDigest: header.base.digest,
        sizeBytes,
        headBytes,
      })),
    async bytes(digest, offset, length) {
      if (!(await isShared(digest))) return null
      try {
        return await library.bytes(digest, offset, length)
      } catch (error) {
        if (error instanceof RangeError || codeOf(error) === 'patch-not-found') return null
        throw error
      }
    },
  }
}
