/**
 * Reads a patch file from wherever its bytes are: the head first, verified before anything else is touched, then sections
 * one at a time, each checked against the header by itself. At most one section's bytes are held beside what they decode to.
 */
import type { ByteSource } from './byte-source.ts'
import { PatchFormatError } from './errors.ts'
import type { PatchHeader } from './header.ts'
import { headLengthOf, preambleBytes } from './layout.ts'
import { maskDigest } from './mask-digest.ts'
import type { PatchContent } from './patch.ts'
import { type HeadExpectations, type PatchHead, type PatchVerifier, verifyPatchHead } from './patch-head.ts'
import { decodeSection, type SectionContent } from './section-codec.ts'

/** Indices of a mask by tensor, of a patch that has them; `PatchContent.deltas` of that patch will do. */
export type SharedMask = readonly { readonly tensor: string; readonly indices: Uint32Array }[]

export interface ReadPatchOptions {
  /** Wanted when the header says `sharedMask`. */
  readonly sharedMask?: SharedMask | undefined
  readonly signal?: AbortSignal | undefined
}

export interface PatchReader {
  readonly head: PatchHead
  /** Reads nothing else. A shared mask is taken as it is given: that it is the right one, only `readContent` can tell. */
  readSection(index: number, options?: ReadPatchOptions): Promise<SectionContent>
  /** Everything; the mask's digest is checked too. Throws `PatchFormatError`. */
  readContent(options?: ReadPatchOptions): Promise<PatchContent>
}

/** The file's length must be what its head says. Throws `PatchFormatError`, `WrongBaseError`, and what the source throws. */
export async function openPatch(
  source: ByteSource,
  verifier: PatchVerifier,
  { signal, ...expectations }: HeadExpectations & { readonly signal?: AbortSignal | undefined } = {},
): Promise<PatchReader> {
  const head = await verifyPatchHead(await readHead(source, signal), verifier, expectations)
  if (source.byteLength !== head.sizeBytes) {
    throw new PatchFormatError('size', `the file has ${source.byteLength} bytes, its header says ${head.sizeBytes}`)
  }
  const sections = createSectionReader(source, head)
  return {
    head,
    readSection: (index, options = {}) => sections(index, indicesByTensor(options.sharedMask), options.signal),
    readContent: (options = {}) => readContent(head.header, sections, options),
  }
}

type SectionReader = (
  index: number,
  mask: ReadonlyMap<string, Uint32Array>,
  signal: AbortSignal | undefined,
) => Promise<SectionContent>

function createSectionReader(source: ByteSource, head: PatchHead): SectionReader {
  const places = sectionPlaces(head)
  return async (index, mask, signal) => {
    const section = head.header.sections[index]
    const offset = places[index]
    if (section === undefined || offset === undefined) throw new RangeError(`section ${index} of ${places.length}`)
    const bytes = await source.read(offset, section.bytes, { signal })
    const indices = section.kind === 'delta' ? mask.get(section.tensor) : undefined
    return decodeSection(head.header, index, bytes, { indices })
  }
}

/** Where each section begins in the file. */
export function sectionPlaces({ header, headBytes }: Pick<PatchHead, 'header' | 'headBytes'>): readonly number[] {
  let offset = headBytes
  return header.sections.map(({ bytes }) => {
    const place = offset
    offset += bytes
    return place
  })
}

/** Puts decoded sections together, and checks what can only be seen of all. Throws `PatchFormatError`. */
export function contentOf(header: PatchHeader, sections: readonly SectionContent[]): PatchContent {
  const deltas = sections.flatMap((section) => (section.kind === 'delta' ? [section.delta] : []))
  const scales = sections.flatMap((section) => (section.kind === 'scale' ? [section.scale] : []))
  const factors = sections.flatMap((section) => (section.kind === 'factors' ? [section.factors] : []))
  if (deltas.length > 0 && maskDigest(deltas) !== header.maskDigest) {
    throw new PatchFormatError('header.maskDigest', 'not that of the indices')
  }
  return { deltas, scales, factors }
}

async function readHead(source: ByteSource, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const atMost = (length: number) => source.read(0, Math.min(length, source.byteLength), { signal })
  const headBytes = headLengthOf(await atMost(preambleBytes))
  return await atMost(headBytes)
}

async function readContent(
  header: PatchHeader,
  readSection: SectionReader,
  { sharedMask, signal }: ReadPatchOptions,
): Promise<PatchContent> {
  const mask = indicesByTensor(sharedMask)
  const sections: SectionContent[] = []
  for (const index of header.sections.keys()) {
    signal?.throwIfAborted()
    sections.push(await readSection(index, mask, signal))
  }
  return contentOf(header, sections)
}

function indicesByTensor(mask: SharedMask = []): ReadonlyMap<string, Uint32Array> {
  return new Map(mask.map(({ tensor, indices }) => [tensor, indices]))
}
