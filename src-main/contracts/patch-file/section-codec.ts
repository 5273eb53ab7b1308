/** A section's bytes, and what they say. Each stands by itself: one tensor can be read without the rest. */
import { concatBytes } from '@noble/hashes/utils.js'
import { PatchFormatError } from './errors.ts'
import { decodeFisher, encodeFisher } from './fisher-codec.ts'
import type { PatchHeader, PatchSection, ValueFormat } from './header.ts'
import { nameOfSection } from './header-rules.ts'
import { decodeIndices, encodeIndices } from './index-codec.ts'
import { digestOf } from './layout.ts'
import type { PatchDelta, PatchFactors, PatchScale } from './patch.ts'
import { factorBytes } from './section-sizes.ts'
import { decodeValues, encodeValues } from './value-codec.ts'

export type SectionContent =
  | { readonly kind: 'delta'; readonly delta: PatchDelta }
  | { readonly kind: 'scale'; readonly scale: PatchScale }
  | { readonly kind: 'factors'; readonly factors: PatchFactors }

export interface SectionParts {
  readonly section: PatchSection
  readonly bytes: Uint8Array
}

type DeltaSection = Extract<PatchSection, { kind: 'delta' }>

/** Index bytes ‖ value bytes ‖ Fisher bytes; without the first for a shared mask, without the last unless `fisher`. */
export function encodeDelta(
  delta: PatchDelta,
  { valueFormat, fisher, sharedMask }: { valueFormat: ValueFormat; fisher: boolean; sharedMask: boolean },
): SectionParts {
  const { tensor, shape, indices, values } = delta
  const index = sharedMask ? new Uint8Array() : encodeIndices(indices, shape)
  const value = encodeValues(values, valueFormat)
  const information = fisher && delta.fisher !== null ? encodeFisher(delta.fisher) : new Uint8Array()
  const bytes = concatBytes(index, value, information)
  const section: DeltaSection = {
    kind: 'delta',
    tensor,
    shape: [...shape],
    entries: indices.length,
    indexBytes: index.length,
    valueBytes: value.length,
    fisherBytes: information.length,
    bytes: bytes.length,
    sha256: digestOf(bytes),
  }
  return { section, bytes }
}

export function encodeScale({ block, target, values }: PatchScale): SectionParts {
  const bytes = encodeValues(values, 'float32')
  const entries = values.length
  return { section: { kind: 'scale', block, target, entries, bytes: bytes.length, sha256: digestOf(bytes) }, bytes }
}

export function encodeFactors(factors: PatchFactors, format: ValueFormat): SectionParts {
  const { tensor, shape, rank, left, right } = factors
  const bytes = concatBytes(encodeValues(left, format), encodeValues(right, format))
  const [out, into] = shape
  const place = { bytes: bytes.length, sha256: digestOf(bytes) }
  return { section: { kind: 'factors', tensor, shape: [out, into], rank, ...place }, bytes }
}

/**
 * Section `index` of `header`, from its bytes; `indices` are those of the shared mask, where there is one. Throws
 * `PatchFormatError` for bytes that are not the section's, `RangeError` for a section that the header does not have.
 */
export function decodeSection(
  header: PatchHeader,
  index: number,
  bytes: Uint8Array,
  { indices }: { readonly indices?: Uint32Array | undefined } = {},
): SectionContent {
  const section = header.sections[index]
  if (section === undefined) throw new RangeError(`section ${index} of ${header.sections.length}`)
  expectBytes(section, bytes)
  return inSection(section, () => {
    switch (section.kind) {
      case 'delta':
        return { kind: 'delta', delta: decodeDelta(header, section, bytes, indices) }
      case 'scale':
        return { kind: 'scale', scale: decodeScale(section, bytes) }
      case 'factors':
        return { kind: 'factors', factors: decodeFactors(header, section, bytes) }
    }
  })
}

/** Throws `PatchFormatError` unless `bytes` are what the header says of the section. */
export function expectBytes(section: PatchSection, bytes: Uint8Array): void {
  if (bytes.length !== section.bytes) {
    throw new PatchFormatError(nameOfSection(section), `${bytes.length} bytes, the header says ${section.bytes}`)
  }
  if (digestOf(bytes) !== section.sha256) {
    throw new PatchFormatError(nameOfSection(section), 'the bytes are not those that the header names')
  }
}

function decodeDelta(
  header: PatchHeader,
  { tensor, shape, entries, indexBytes, valueBytes }: DeltaSection,
  bytes: Uint8Array,
  shared: Uint32Array | undefined,
): PatchDelta {
  const valueEnd = indexBytes + valueBytes
  const indices = header.sharedMask
    ? expectShared(shared, shape, entries)
    : decodeIndices(bytes.subarray(0, indexBytes), { shape, entries })
  const values = decodeValues(bytes.subarray(indexBytes, valueEnd), { format: header.valueFormat, entries })
  const fisher = valueEnd === bytes.length ? null : decodeFisher(bytes.subarray(valueEnd), { entries })
  return { tensor, shape, indices, values, fisher }
}

function decodeScale(
  { block, target, entries }: Extract<PatchSection, { kind: 'scale' }>,
  bytes: Uint8Array,
): PatchScale {
  return { block, target, values: decodeValues(bytes, { format: 'float32', entries }) }
}

function decodeFactors(
  { valueFormat: format }: PatchHeader,
  { tensor, shape, rank }: Extract<PatchSection, { kind: 'factors' }>,
  bytes: Uint8Array,
): PatchFactors {
  const [out, into] = shape
  const { leftBytes } = factorBytes(shape, rank, format)
  const left = decodeValues(bytes.subarray(0, leftBytes), { format, entries: out * rank })
  const right = decodeValues(bytes.subarray(leftBytes), { format, entries: rank * into })
  return { tensor, shape, rank, left, right }
}

/** A mask from elsewhere is looked at like one from the file. */
function expectShared(indices: Uint32Array | undefined, shape: readonly number[], entries: number): Uint32Array {
  if (indices === undefined) throw new PatchFormatError('mask', 'shared with another patch, which has not been given')
  if (indices.length !== entries) throw new PatchFormatError('mask', `${indices.length} places, ${entries} values`)
  expectPlaces(indices, shape)
  return indices
}

/** Strictly ascending, each in the tensor. Throws `PatchFormatError`. */
export function expectPlaces(indices: Uint32Array, shape: readonly number[]): void {
  const size = shape.reduce((product, extent) => product * extent, 1)
  let before = -1
  for (const index of indices) {
    if (index <= before) throw new PatchFormatError('indices', `${index} after ${before}`)
    before = index
  }
  if (before >= size) throw new PatchFormatError('indices', `${before} in a tensor of ${size}`)
}

/** Errors of codecs say where in a part; here the section is known too. */
export function inSection<T>(section: Parameters<typeof nameOfSection>[0], work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof PatchFormatError)) throw error
    const { where, what } = error.params
    throw new PatchFormatError(`${nameOfSection(section)} ${where}`, String(what), { cause: error })
  }
}
