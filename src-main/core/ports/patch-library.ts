/**
 * The patches on this machine. What is in the library has been checked: format, digests, signature, and that it fits the
 * shape it claims. Arriving patches are kept piece by piece, each checked when it is whole.
 */
import type { Digest } from '#contracts/digest.ts'
import type { PatchHeader } from '#contracts/patch-file/header.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'

export interface KeptPatch {
  readonly digest: Digest
  readonly header: PatchHeader
  /** Bytes before the first section: preamble, header, signature. The digest is theirs, and vouches for all sections. */
  readonly headBytes: number
  readonly sizeBytes: number
  readonly receivedBytes: number
  readonly complete: boolean
  readonly where: 'mine' | 'fetched' | 'imported'
  readonly shared: boolean
  readonly tags: readonly string[]
  readonly addedAtMs: number
}

/** A patch that is arriving. Sections by their place in `header.sections`. */
export interface IncomingPatch {
  readonly patch: KeptPatch
  /** The first section that is not whole and where in it the next byte belongs; null when all are here. */
  next(): { readonly section: number; readonly offset: number } | null
  /**
   * Appends to that section. -> whether the section is whole now. Throws `PatchFormatError` when its digest is wrong: then
   * all of the section is forgotten, and `next` begins it again.
   */
  append(bytes: Uint8Array): Promise<{ readonly whole: boolean }>
  /** Forgets what is here of the section under way: it may have come from a liar. */
  discardSection(): Promise<void>
  /** All is here: it takes its place in the library. Throws `PatchFormatError` when what the sections say does not fit. */
  finish(): Promise<KeptPatch>
  /** Keeps what has arrived and lets go. */
  close(): Promise<void>
}

export interface PatchLibrary {
  list(filter?: { readonly base?: Digest; readonly complete?: boolean }): Promise<readonly KeptPatch[]>
  /** By digest, a prefix of at least 8 characters, or a tag. Throws `PatchNotFoundError`. */
  get(name: string): Promise<KeptPatch>
  /** A whole file, checked from the first byte to the last. Adding one that is there changes nothing but `where`. */
  add(
    bytes: AsyncIterable<Uint8Array>,
    options: { readonly where: KeptPatch['where']; readonly signal?: AbortSignal },
  ): Promise<KeptPatch>
  /** All it changes; a shared mask is looked up. Throws `PatchNotFoundError`, also for a mask that is not here. */
  read(digest: Digest, options?: { readonly signal?: AbortSignal }): Promise<PatchContent>
  /** Bytes of the file, for peers. Throws `RangeError` outside of it, `PatchNotFoundError` while it is not complete. */
  bytes(digest: Digest, offset: number, length: number): Promise<Uint8Array>
  /** `head` is preamble, header and signature; they have been verified. Throws `QuotaExceededError`. */
  receive(head: Uint8Array): Promise<IncomingPatch>
  /** A complete patch with this mask and its own indices; null when there is none. */
  withMask(maskDigest: Digest): Promise<KeptPatch | null>
  setShared(digest: Digest, shared: boolean): Promise<KeptPatch>
  /** Null takes the tag away; a tag moves when it is set again. */
  tag(tag: string, digest: Digest | null): Promise<void>
  remove(digest: Digest): Promise<void>
  usage(): Promise<{ readonly bytes: number; readonly quotaBytes: number }>
  follows(): Promise<readonly { readonly peerId: string; readonly name: string }[]>
  follow(peerId: string, name: string): Promise<void>
  unfollow(peerId: string): Promise<void>
  /** Called after every change. -> how to stop listening */
  onChange(listener: () => void): () => void
  close(): Promise<void>
}
