/** Files as a hostile author makes them: any header, sound or not, with everything around it as it should be. */
import * as dagCbor from '@ipld/dag-cbor'
import { sha256 } from '@noble/hashes/sha2.js'
import {
  headLengthOf,
  patchSigningBytes,
  preambleAnd,
  preambleBytes,
  signatureBytes,
} from '#contracts/patch-file/layout.ts'
import type { WrittenPatch } from '#contracts/patch-file/write-patch.ts'
import { signer } from './example-patches.ts'

/** The header as CBOR has it. */
export type WireHeader = Record<string, unknown> & { sections: unknown[][] }

export function wireHeaderOf(head: Uint8Array): WireHeader {
  return dagCbor.decode(head.subarray(preambleBytes, headLengthOf(head) - signatureBytes))
}

/** A file with this header, signed by the known author. */
export async function seal(header: unknown, sections: readonly Uint8Array[]): Promise<Uint8Array> {
  return await sealBytes(dagCbor.encode(header), sections)
}

export async function sealBytes(header: Uint8Array, sections: readonly Uint8Array[]): Promise<Uint8Array> {
  const unsigned = preambleAnd(header)
  const signature = await signer.sign(patchSigningBytes(unsigned))
  return new Uint8Array(Buffer.concat([unsigned, signature, ...sections]))
}

/** As `seal`, unsigned: for readers that do not look. */
export function sealUnsigned(header: unknown, sections: readonly Uint8Array[]): Uint8Array {
  const unsigned = preambleAnd(dagCbor.encode(header))
  return new Uint8Array(Buffer.concat([unsigned, new Uint8Array(signatureBytes), ...sections]))
}

/** The patch with other bytes in its sections, and their digests in the header. */
export function withSections({ head }: Pick<WrittenPatch, 'head'>, sections: readonly Uint8Array[]): WireHeader {
  const header = wireHeaderOf(head)
  const rows = header.sections.map((row, index) => [...row.slice(0, -1), sha256(sections[index] ?? new Uint8Array())])
  return { ...header, sections: rows }
}
