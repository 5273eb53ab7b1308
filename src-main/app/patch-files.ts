/**
 * Patches as people name them: a path to a file, or a digest, a prefix of one, or a tag in the library. A file is verified
 * when it is opened; what is in the library has been.
 */
import type { Digest } from '#contracts/digest.ts'
import { piecesOf } from '#contracts/patch-file/byte-source.ts'
import type { PatchHeader } from '#contracts/patch-file/header.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { openPatch, type PatchReader, type SharedMask } from '#contracts/patch-file/read-patch.ts'
import { PatchNotFoundError } from '#core/errors.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import type { OpenedBytes, PatchInterop } from '#core/ports/patch-interop.ts'
import type { KeptPatch, PatchLibrary } from '#core/ports/patch-library.ts'

export interface PatchFileComponents {
  readonly interop: PatchInterop
  readonly verifier: SignatureVerifier
  /** Opened when a name or a shared mask asks for it. */
  readonly library: () => Promise<PatchLibrary>
}

export interface NamedPatch extends AsyncDisposable {
  readonly digest: Digest
  readonly header: PatchHeader
  readonly headBytes: number
  readonly sizeBytes: number
  /** Null for a file that was named by its path. */
  readonly kept: KeptPatch | null
  /** All it changes, every section checked. A shared mask is looked for in the library. */
  read(signal?: AbortSignal): Promise<PatchContent>
  /** The file's bytes, from the first to the last. */
  bytes(signal?: AbortSignal): AsyncIterable<Uint8Array>
}

/**
 * A file at that path, else a patch of that name in the library. Throws `PatchFormatError`,
 * `PatchNotFoundError`, `InvalidInputError` for a path that leads to no file.
 */
export async function openNamedPatch(
  components: PatchFileComponents,
  name: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<NamedPatch> {
  const isPath = /[/\\]/.test(name) || (await components.interop.kindOf(name)) === 'patch'
  if (!isPath) return namedInLibrary(await components.library(), name)
  const file = await components.interop.openPatchFile(name)
  try {
    return fromFile(components, file, await openPatch(file, components.verifier, { signal }))
  } catch (error) {
    await file.close()
    throw error
  }
}

/** A patch of the library. Throws `PatchNotFoundError`. */
export async function namedInLibrary(library: PatchLibrary, name: string): Promise<NamedPatch> {
  const kept = await library.get(name)
  const { digest, header, headBytes, sizeBytes } = kept
  return {
    digest,
    header,
    headBytes,
    sizeBytes,
    kept,
    read: (signal) => library.read(digest, signal === undefined ? {} : { signal }),
    bytes: (signal) =>
      piecesOf({ byteLength: sizeBytes, read: (offset, length) => library.bytes(digest, offset, length) }, signal),
    [Symbol.asyncDispose]: async () => {},
  }
}

function fromFile({ library }: PatchFileComponents, file: OpenedBytes, reader: PatchReader): NamedPatch {
  const { header, digest, headBytes, sizeBytes } = reader.head
  return {
    digest,
    header,
    headBytes,
    sizeBytes,
    kept: null,
    async read(signal) {
      const sharedMask = header.sharedMask ? await findMask(await library(), header) : []
      return await reader.readContent({ sharedMask, signal })
    },
    bytes: (signal) => piecesOf(file, signal),
    [Symbol.asyncDispose]: () => file.close(),
  }
}

async function findMask(library: PatchLibrary, { maskDigest }: PatchHeader): Promise<SharedMask> {
  const owner = maskDigest === null ? null : await library.withMask(maskDigest)
  if (owner === null) throw new PatchNotFoundError(`with the mask ${maskDigest}`)
  return (await library.read(owner.digest)).deltas
}
