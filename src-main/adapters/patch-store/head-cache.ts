/** Parsed heads of patches, the latest used ones: a list is asked for several times a second, and its heads never change. */
import type { Digest } from '#contracts/digest.ts'
import type { PatchHead } from '#contracts/patch-file/patch-head.ts'

export interface HeadCache {
  get(digest: Digest, parse: () => PatchHead): PatchHead
  forget(digest: Digest): void
}

/** Of the encoded heads; parsed ones take some times that. */
const maximumBytes = 32 << 20

export function createHeadCache(): HeadCache {
  const heads = new Map<Digest, PatchHead>()
  let bytes = 0

  function forget(digest: Digest): void {
    bytes -= heads.get(digest)?.headBytes ?? 0
    heads.delete(digest)
  }

  return {
    forget,
    get(digest, parse) {
      const head = heads.get(digest) ?? parse()
      forget(digest)
      heads.set(digest, head)
      bytes += head.headBytes
      for (const oldest of heads.keys()) {
        if (bytes <= maximumBytes || oldest === digest) break
        forget(oldest)
      }
      return head
    },
  }
}
