/**
 * Makes a patch file. The same content and description give the same bytes, whoever writes them and whenever: the header
 * has one encoding, sections come in the order of names, and Ed25519 signs the same bytes the same way.
 */
import { concatBytes } from '@noble/hashes/utils.js'
import type { Digest } from '../digest.ts'
import { PatchFormatError } from './errors.ts'
import { type PatchDescription, type PatchHeader, patchDescriptionSchema, type ValueFormat } from './header.ts'
import { encodeHeader } from './header-codec.ts'
import { compareSections } from './header-rules.ts'
import { digestOf, patchSigningBytes, preambleAnd, signatureBytes } from './layout.ts'
import { maskDigest } from './mask-digest.ts'
import type { PatchContent, PatchDelta, PatchFactors } from './patch.ts'
import { encodeDelta, encodeFactors, encodeScale, expectPlaces, inSection, type SectionParts } from './section-codec.ts'

/** The author's node: `Identity` of the core. */
export interface PatchSigner {
  readonly peerId: string
  sign(bytes: Uint8Array): Promise<Uint8Array> // (64,)
}

export interface WritePatchOptions {
  readonly signer: PatchSigner
  /** How deltas and factors are stored; scales are float32 always. */
  readonly valueFormat: ValueFormat
  /** Whether the deltas' Fisher information, where they have it, goes into the file. */
  readonly fisher: boolean
  /** True leaves the indices out: another patch with the same mask has them. */
  readonly sharedMask: boolean
}

export interface WrittenPatch {
  readonly digest: Digest
  readonly header: PatchHeader
  readonly head: Uint8Array
  /** In the order of `header.sections`. The file is the head and these, back to back. */
  readonly sections: readonly Uint8Array[]
  readonly byteLength: number
}

/**
 * Lists are put in order, and deltas and factors without a single number left out. Throws `PatchFormatError` for content or
 * a description that no reader would accept, or an author who is not the signer.
 */
export async function writePatch(
  content: PatchContent,
  description: PatchDescription,
  { signer, ...options }: WritePatchOptions,
): Promise<WrittenPatch> {
  const { deltas, scales, factors } = inOrder(content)
  deltas.forEach(checkDelta)
  factors.forEach(checkFactors)
  const parts = [
    ...deltas.map((delta) => encodeDelta(delta, options)),
    ...scales.map(encodeScale),
    ...factors.map((factor) => encodeFactors(factor, options.valueFormat)),
  ]
  const header: PatchHeader = {
    ...expectDescription(description, signer),
    formatVersion: 1,
    valueFormat: options.valueFormat,
    maskDigest: deltas.length === 0 ? null : maskDigest(deltas),
    sharedMask: options.sharedMask && deltas.length > 0,
    sections: parts.map(({ section }) => section),
  }
  return await seal(header, parts, signer)
}

async function seal(header: PatchHeader, parts: readonly SectionParts[], signer: PatchSigner): Promise<WrittenPatch> {
  const unsigned = preambleAnd(encodeHeader(header))
  const signature = await signer.sign(patchSigningBytes(unsigned))
  if (signature.length !== signatureBytes) throw new PatchFormatError('signature', `${signature.length} bytes`)
  const head = concatBytes(unsigned, signature)
  const sections = parts.map(({ bytes }) => bytes)
  const byteLength = sections.reduce((sum, bytes) => sum + bytes.length, head.length)
  return { digest: digestOf(head), header, head, sections, byteLength }
}

function expectDescription(description: PatchDescription, signer: PatchSigner): PatchDescription {
  const parsed = patchDescriptionSchema.safeParse(description)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new PatchFormatError(issue?.path.join('.') ?? 'description', issue?.message ?? 'malformed')
  }
  if (parsed.data.author.peerId !== signer.peerId) {
    throw new PatchFormatError('author.peerId', `${parsed.data.author.peerId}, who does not sign`)
  }
  return parsed.data
}

function inOrder({ deltas, scales, factors }: PatchContent): PatchContent {
  const sorted = <T extends Parameters<typeof compareSections>[0]>(keys: readonly T[]) =>
    [...keys].sort(compareSections)
  return {
    deltas: sorted(
      deltas.filter(({ indices }) => indices.length > 0).map((delta) => ({ kind: 'delta' as const, ...delta })),
    ),
    scales: sorted(scales.map((scale) => ({ kind: 'scale' as const, ...scale }))),
    factors: sorted(factors.map((factor) => ({ kind: 'factors' as const, ...factor }))),
  }
}

/** What the codecs of the parts cannot see. */
function checkDelta({ tensor, shape, indices, values, fisher }: PatchDelta): void {
  inSection({ kind: 'delta', tensor }, () => {
    expectPlaces(indices, shape)
    expectSize(values, indices.length, 'values')
    if (fisher !== null) expectSize(fisher, indices.length, 'fisher')
  })
}

function checkFactors({ tensor, shape: [out, into], rank, left, right }: PatchFactors): void {
  inSection({ kind: 'factors', tensor }, () => {
    expectSize(left, out * rank, 'left')
    expectSize(right, rank * into, 'right')
  })
}

function expectSize(values: Float32Array, size: number, where: string): void {
  if (values.length !== size) throw new PatchFormatError(where, `${values.length} numbers, expected ${size}`)
}
