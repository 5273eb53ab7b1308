/**
 * The header's one encoding: a DAG-CBOR map of `PatchHeader`'s fields, digests as 32 bytes, and each section as an array of
 * what does not follow from the rest. Lengths that follow are not written, so they cannot contradict.
 *
 *   delta    [0, tensor, shape, entries, indexBytes, hasFisher, sha256]
 *   scale    [1, block, target, entries, sha256]
 *   factors  [2, tensor, shape, rank, sha256]
 */
import * as dagCbor from '@ipld/dag-cbor'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import * as z from 'zod'
import { findShapeFault } from '../cbor-shape.ts'
import { PatchFormatError } from './errors.ts'
import { type PatchHeader, type PatchSection, patchHeaderSchema, type ValueFormat } from './header.ts'
import { checkHeader } from './header-rules.ts'
import { maximumHeaderBytes } from './layout.ts'
import { deltaBytes, factorBytes, scaleBytes } from './section-sizes.ts'

/** The widest header there can be has 20,000 sections of up to 12 items; the rest of it, a few hundred. */
const limits = { depth: 5, items: 300_000 }

/** The header's bytes. Throws `PatchFormatError` for a header that `decodeHeader` would not give back. */
export function encodeHeader(header: PatchHeader): Uint8Array {
  const { base, parents, data, maskDigest, sections } = header
  const bytes = dagCbor.encode({
    ...header,
    base: { ...base, digest: hexToBytes(base.digest) },
    parents: parents.map((parent) => hexToBytes(parent)),
    data: data === null ? null : { ...data, digest: hexToBytes(data.digest) },
    maskDigest: maskDigest === null ? null : hexToBytes(maskDigest),
    sections: sections.map(toWire),
  })
  if (bytes.length > maximumHeaderBytes) {
    throw new PatchFormatError('header', `${bytes.length} bytes, at most ${maximumHeaderBytes} are written`)
  }
  decodeHeader(bytes)
  return bytes
}

/** Throws `PatchFormatError` for bytes that are no header, are not in its one encoding, or contradict themselves. */
export function decodeHeader(bytes: Uint8Array): PatchHeader {
  const fault = findShapeFault(bytes, limits)
  if (fault !== null) throw new PatchFormatError('header', fault)
  const wire = parse(wireSchema, decodeCanonical(bytes))
  const header = parse(patchHeaderSchema, {
    ...wire,
    sections: wire.sections.map((section) => fromWire(section, wire.valueFormat)),
  })
  checkHeader(header)
  return header
}

function decodeCanonical(bytes: Uint8Array): unknown {
  let value: unknown
  try {
    value = dagCbor.decode(bytes)
  } catch (cause) {
    throw new PatchFormatError('header', 'not DAG-CBOR', { cause })
  }
  const again = dagCbor.encode(value)
  if (again.length !== bytes.length || again.some((byte, index) => byte !== bytes[index])) {
    throw new PatchFormatError('header', 'not canonical DAG-CBOR')
  }
  return value
}

function parse<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new PatchFormatError(['header', ...(issue?.path ?? [])].map(String).join('.'), issue?.message ?? 'malformed')
}

const digestBytes = z
  .custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === 32, { message: 'expected 32 bytes' })
  .transform((bytes) => bytesToHex(bytes))

const wireSectionSchema = z.union(
  [
    z.tuple([z.literal(0), z.string(), z.array(z.int()), z.int(), z.int(), z.boolean(), digestBytes]),
    z.tuple([z.literal(1), z.int(), z.string(), z.int(), digestBytes]),
    z.tuple([z.literal(2), z.string(), z.tuple([z.int(), z.int()]), z.int(), digestBytes]),
  ],
  { error: 'no section of a kind that is known' },
)
type WireSection = z.infer<typeof wireSectionSchema>

/** What differs from `patchHeaderSchema`; all else passes through to it. */
const wireSchema = z.looseObject({
  base: z.looseObject({ digest: digestBytes }),
  parents: z.array(digestBytes),
  data: z.looseObject({ digest: digestBytes }).nullable(),
  maskDigest: digestBytes.nullable(),
  valueFormat: patchHeaderSchema.shape.valueFormat,
  sections: z.array(wireSectionSchema),
})

function toWire(section: PatchSection): readonly unknown[] {
  const sha256 = hexToBytes(section.sha256)
  switch (section.kind) {
    case 'delta': {
      const { tensor, shape, entries, indexBytes, fisherBytes } = section
      return [0, tensor, shape, entries, indexBytes, fisherBytes > 0, sha256]
    }
    case 'scale':
      return [1, section.block, section.target, section.entries, sha256]
    case 'factors':
      return [2, section.tensor, section.shape, section.rank, sha256]
  }
}

function fromWire(section: WireSection, format: ValueFormat): unknown {
  switch (section[0]) {
    case 0: {
      const [, tensor, shape, entries, indexBytes, hasFisher, sha256] = section
      return {
        kind: 'delta',
        tensor,
        shape,
        entries,
        ...deltaBytes({ entries, indexBytes, hasFisher }, format),
        sha256,
      }
    }
    case 1: {
      const [, block, target, entries, sha256] = section
      return { kind: 'scale', block, target, entries, bytes: scaleBytes(entries), sha256 }
    }
    case 2: {
      const [, tensor, shape, rank, sha256] = section
      return { kind: 'factors', tensor, shape, rank, bytes: factorBytes(shape, rank, format).bytes, sha256 }
    }
  }
}
