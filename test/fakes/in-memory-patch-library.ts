/** A patch library in memory: checks what the real one checks, and keeps nothing beyond the process. */
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { checkContent } from '#adapters/patch-store/check-content.ts'
import type { Digest } from '#contracts/digest.ts'
import { bytesInMemory } from '#contracts/patch-file/byte-source.ts'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import { digestOf, headLengthOf } from '#contracts/patch-file/layout.ts'
import { type PatchHead, verifyPatchHead } from '#contracts/patch-file/patch-head.ts'
import { openPatch, sectionPlaces } from '#contracts/patch-file/read-patch.ts'
import { PatchNotFoundError, QuotaExceededError, StorageError } from '#core/errors.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { IncomingPatch, KeptPatch, PatchLibrary } from '#core/ports/patch-library.ts'

interface Kept {
  readonly head: PatchHead
  /** All of it, or as far as it is here. */
  bytes: Uint8Array
  complete: boolean
  where: KeptPatch['where']
  shared: boolean
  readonly addedAtMs: number
  isHeld: boolean
}

const verifier = createSignatureVerifier()

export function createInMemoryPatchLibrary(
  components: { readonly clock: Clock },
  init: { quotaBytes: number },
): PatchLibrary {
  const patches = new Map<Digest, Kept>()
  const tags = new Map<string, Digest>()
  const follows = new Map<string, string>()
  const listeners = new Set<() => void>()

  function changed(): void {
    for (const listener of [...listeners]) listener()
  }

  function expectKept(digest: Digest): Kept {
    const kept = patches.get(digest)
    if (kept === undefined) throw new PatchNotFoundError(digest)
    return kept
  }

  function expectComplete(digest: Digest): Kept {
    const kept = expectKept(digest)
    if (!kept.complete) throw new PatchNotFoundError(digest)
    return kept
  }

  function describe({ head, bytes, complete, where, shared, addedAtMs }: Kept): KeptPatch {
    const { digest, header, headBytes, sizeBytes } = head
    const own = [...tags].filter(([, tagged]) => tagged === digest).map(([tag]) => tag)
    const fixed = { digest, header, headBytes, sizeBytes, receivedBytes: bytes.length }
    return { ...fixed, complete, where, shared, tags: own.sort(), addedAtMs }
  }

  const usedBytes = () =>
    [...patches.values()].reduce((sum, { where, head }) => sum + (where === 'mine' ? 0 : head.sizeBytes), 0)

  function insert(head: PatchHead, bytes: Uint8Array, where: KeptPatch['where']): Kept {
    const known = patches.get(head.digest)
    if (known !== undefined) return known
    const wanted = usedBytes() + head.sizeBytes
    if (where !== 'mine' && wanted > init.quotaBytes) {
      throw new QuotaExceededError('patches from others', wanted, init.quotaBytes)
    }
    const addedAtMs = components.clock.now()
    const kept = { head, bytes, complete: false, where, shared: false, addedAtMs, isHeld: false }
    patches.set(head.digest, kept)
    return kept
  }

  async function maskOf({ header }: PatchHead) {
    const owner = header.sharedMask ? ownerOfMask(header.maskDigest) : undefined
    return owner === undefined ? null : await read(owner.head.digest)
  }

  const ownerOfMask = (mask: Digest | null) =>
    [...patches.values()].find(
      ({ head: { header }, complete }) => complete && !header.sharedMask && header.maskDigest === mask,
    )

  async function check(bytes: Uint8Array): Promise<void> {
    const reader = await openPatch(bytesInMemory(bytes), verifier)
    await checkContent(reader, await maskOf(reader.head))
  }

  async function read(digest: Digest): ReturnType<PatchLibrary['read']> {
    const { head, bytes } = expectComplete(digest)
    const mask = await maskOf(head)
    if (head.header.sharedMask && mask === null) throw new PatchNotFoundError(`with the mask ${head.header.maskDigest}`)
    return await (await openPatch(bytesInMemory(bytes), verifier)).readContent({ sharedMask: mask?.deltas })
  }

  function arrivalOf(kept: Kept): IncomingPatch {
    const { head } = kept
    const { sections } = head.header
    const places = sectionPlaces(head)

    function next() {
      const section = sections.findIndex(({ bytes }, index) => kept.bytes.length < (places[index] ?? 0) + bytes)
      return section < 0 ? null : { section, offset: kept.bytes.length - (places[section] ?? 0) }
    }

    function expectHeld(): void {
      if (patches.get(head.digest) !== kept || !kept.isHeld) throw new PatchNotFoundError(head.digest)
    }

    const discard = (section: number) => {
      kept.bytes = kept.bytes.slice(0, places[section])
    }

    return {
      get patch() {
        return describe(kept)
      },
      next,
      async append(bytes) {
        expectHeld()
        const at = next()
        const section = at === null ? undefined : sections[at.section]
        if (at === null || section === undefined || at.offset + bytes.length > section.bytes) {
          throw new RangeError('does not fit')
        }
        kept.bytes = Uint8Array.of(...kept.bytes, ...bytes)
        changed()
        if (at.offset + bytes.length < section.bytes) return { whole: false }
        if (digestOf(kept.bytes.subarray(places[at.section])) === section.sha256) return { whole: true }
        discard(at.section)
        throw new PatchFormatError(`section ${at.section}`, 'the bytes are not those that the header names')
      },
      async discardSection() {
        expectHeld()
        const at = next()
        if (at !== null) discard(at.section)
      },
      async finish() {
        expectHeld()
        if (next() !== null) throw new RangeError('not all of the patch is here')
        kept.isHeld = false
        try {
          await check(kept.bytes)
        } catch (error) {
          if (error instanceof PatchFormatError) patches.delete(head.digest)
          throw error
        }
        kept.complete = true
        changed()
        return describe(kept)
      },
      async close() {
        kept.isHeld = false
      },
    }
  }

  return {
    async list({ base, complete } = {}) {
      return [...patches.values()]
        .filter((kept) => base === undefined || kept.head.header.base.digest === base)
        .filter((kept) => complete === undefined || kept.complete === complete)
        .map(describe)
        .reverse()
    },
    async get(name) {
      const tagged = tags.get(name)
      const prefixed = (digest: string) => name.length >= 8 && digest.startsWith(name)
      const found = [...patches.values()].find(
        ({ head: { digest } }) => digest === (tagged ?? name) || prefixed(digest),
      )
      if (found === undefined) throw new PatchNotFoundError(name)
      return describe(found)
    },
    async add(pieces, { where, signal }) {
      const bytes = await gathered(pieces)
      signal?.throwIfAborted()
      const head = await verifyPatchHead(bytes.subarray(0, headLengthOf(bytes)), verifier)
      await check(bytes)
      const kept = insert(head, bytes, where)
      Object.assign(kept, { bytes, complete: true, where: kept.where === 'mine' ? 'mine' : where })
      changed()
      return describe(kept)
    },
    read: (digest) => read(digest),
    async bytes(digest, offset, length) {
      return await bytesInMemory(expectComplete(digest).bytes)
        .read(Math.ceil(offset), length)
        .then((bytes) => {
          if (bytes.length !== length || !Number.isInteger(offset)) throw new RangeError('outside of the patch')
          return bytes.slice()
        })
    },
    async receive(headBytes) {
      const kept = insert(await verifyPatchHead(headBytes, verifier), headBytes.slice(), 'fetched')
      if (kept.isHeld) throw new StorageError(kept.head.digest, 'the patch is being fetched already')
      kept.isHeld = true
      changed()
      return arrivalOf(kept)
    },
    async withMask(mask) {
      const owner = ownerOfMask(mask)
      return owner === undefined ? null : describe(owner)
    },
    async setShared(digest, shared) {
      const kept = expectKept(digest)
      kept.shared = shared
      changed()
      return describe(kept)
    },
    async tag(tag, digest) {
      if (digest === null) tags.delete(tag)
      else tags.set(tag, expectKept(digest).head.digest)
      changed()
    },
    async remove(digest) {
      expectKept(digest).isHeld = false
      patches.delete(digest)
      for (const [tag, tagged] of [...tags]) if (tagged === digest) tags.delete(tag)
      changed()
    },
    usage: async () => ({ bytes: usedBytes(), quotaBytes: init.quotaBytes }),
    follows: async () => [...follows].map(([peerId, name]) => ({ peerId, name })),
    async follow(peerId, name) {
      follows.set(peerId, name)
      changed()
    },
    async unfollow(peerId) {
      follows.delete(peerId)
      changed()
    },
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async close() {},
  }
}

async function gathered(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(piece)
  return new Uint8Array(Buffer.concat(all))
}
