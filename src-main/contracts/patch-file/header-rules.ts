/** What a header must keep to beyond its schema: everything that can be known before a section is read. */
import { PatchFormatError } from './errors.ts'
import type { PatchHeader, PatchSection, ValueFormat } from './header.ts'
import { scaleTargets } from './patch.ts'
import { deltaBytes, factorBytes, scaleBytes } from './section-sizes.ts'

/** Places in a tensor are written as 32 bits. */
export const maximumTensorEntries = 2 ** 32
/** Far above any disk, far below where numbers stop being exact. */
const maximumFileBytes = 2 ** 50

type DeltaSection = Extract<PatchSection, { kind: 'delta' }>

/** Throws `PatchFormatError`. */
export function checkHeader(header: PatchHeader): void {
  const { sections, maskDigest, sharedMask } = header
  if (sections.length === 0) throw new PatchFormatError('header.sections', 'the patch changes nothing')
  const hasDeltas = sections.some(({ kind }) => kind === 'delta')
  if (hasDeltas !== (maskDigest !== null)) {
    throw new PatchFormatError('header.maskDigest', hasDeltas ? 'missing' : 'there is no delta for it')
  }
  if (sharedMask && !hasDeltas) throw new PatchFormatError('header.sharedMask', 'there is no delta for it')
  if (new Set(header.parents).size < header.parents.length) {
    throw new PatchFormatError('header.parents', 'a parent is named twice')
  }
  for (const [index, section] of sections.entries()) checkSection(header, section, index)
  const total = sections.reduce((sum, { bytes }) => sum + bytes, 0)
  if (total > maximumFileBytes) throw new PatchFormatError('header.sections', `they claim ${total} bytes`)
}

function checkSection(header: PatchHeader, section: PatchSection, index: number): void {
  const where = `header.sections.${index}`
  const before = header.sections[index - 1]
  if (before !== undefined && compareSections(before, section) >= 0) {
    throw new PatchFormatError(where, `${nameOfSection(section)} is out of order, or there twice`)
  }
  const wrong = findWrongLength(header, section)
  if (wrong !== null) throw new PatchFormatError(`${where}.${wrong}`, 'not what its numbers take')
  if (section.kind === 'delta') checkDelta(header, section, where)
}

function checkDelta(header: PatchHeader, delta: DeltaSection, where: string): void {
  const { shape, entries, indexBytes } = delta
  const size = shape.reduce((product, extent) => product * extent, 1)
  if (size > maximumTensorEntries) {
    throw new PatchFormatError(`${where}.shape`, `[${shape}] has more than ${maximumTensorEntries} entries`)
  }
  if (entries > size) throw new PatchFormatError(`${where}.entries`, `${entries} of a tensor of ${size}`)
  if (header.sharedMask !== (indexBytes === 0)) {
    throw new PatchFormatError(`${where}.indexBytes`, header.sharedMask ? 'not 0 with a shared mask' : 'missing')
  }
}

/** Null when the section's lengths are those that its numbers take. */
function findWrongLength({ valueFormat }: PatchHeader, section: PatchSection): string | null {
  const expected: Readonly<Record<string, number>> = expectedLengths(section, valueFormat)
  const said: Readonly<Record<string, unknown>> = section
  return Object.keys(expected).find((name) => said[name] !== expected[name]) ?? null
}

function expectedLengths(section: PatchSection, format: ValueFormat): { readonly bytes: number } {
  switch (section.kind) {
    case 'delta':
      return deltaBytes({ ...section, hasFisher: section.fisherBytes > 0 }, format)
    case 'scale':
      return { bytes: scaleBytes(section.entries) }
    case 'factors':
      return { bytes: factorBytes(section.shape, section.rank, format).bytes }
  }
}

/** How messages call a section. */
export function nameOfSection(
  section: { kind: 'scale'; block: number; target: string } | { kind: string; tensor: string },
) {
  return 'tensor' in section ? section.tensor : `block ${section.block} ${section.target}`
}

type SectionKey =
  | { readonly kind: 'delta' | 'factors'; readonly tensor: string }
  | { readonly kind: 'scale'; readonly block: number; readonly target: (typeof scaleTargets)[number] }

const kindOrder = ['delta', 'scale', 'factors'] as const

/** Deltas, scales, factors; each in the order of names (code units), or of blocks and `scaleTargets`. */
export function compareSections(a: SectionKey, b: SectionKey): number {
  if (a.kind === 'scale' && b.kind === 'scale') {
    return a.block - b.block || scaleTargets.indexOf(a.target) - scaleTargets.indexOf(b.target)
  }
  if (a.kind !== 'scale' && b.kind !== 'scale' && a.kind === b.kind) return compareNames(a.tensor, b.tensor)
  return kindOrder.indexOf(a.kind) - kindOrder.indexOf(b.kind)
}

export function compareNames(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
