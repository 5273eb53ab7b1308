/** The head of a patch file: parsed, then verified, before anything else of the file is looked at. */
import type { Digest } from '../digest.ts'
import { PatchFormatError, WrongBaseError } from './errors.ts'
import type { PatchHeader } from './header.ts'
import { decodeHeader } from './header-codec.ts'
import { digestOf, headLengthOf, patchSigningBytes, preambleBytes, signatureBytes } from './layout.ts'

export interface PatchHead {
  readonly header: PatchHeader
  /** Names the whole file. */
  readonly digest: Digest
  readonly headBytes: number
  /** Of the whole file. */
  readonly sizeBytes: number
  readonly signature: Uint8Array // (64,)
}

/** Checks what authors signed: `SignatureVerifier` of the core. */
export interface PatchVerifier {
  verify(peerId: string, bytes: Uint8Array, signature: Uint8Array): Promise<boolean>
}

export interface HeadExpectations {
  /** The model it is to be for. */
  readonly base?: Digest
  /** Largest file that is wanted. */
  readonly maximumBytes?: number
}

/** `bytes` are the head and nothing else. Checks all but the signature. Throws `PatchFormatError`. */
export function parsePatchHead(bytes: Uint8Array): PatchHead {
  const headBytes = headLengthOf(bytes)
  if (bytes.length !== headBytes) throw new PatchFormatError('head', `${bytes.length} bytes, it says ${headBytes}`)
  const header = decodeHeader(bytes.subarray(preambleBytes, headBytes - signatureBytes))
  const sections = header.sections.reduce((sum, section) => sum + section.bytes, 0)
  return {
    header,
    digest: digestOf(bytes),
    headBytes,
    sizeBytes: headBytes + sections,
    signature: bytes.slice(headBytes - signatureBytes),
  }
}

/** As `parsePatchHead`, and checks base, size and signature. Throws `PatchFormatError`, or `WrongBaseError` for another base. */
export async function verifyPatchHead(
  bytes: Uint8Array,
  verifier: PatchVerifier,
  { base, maximumBytes }: HeadExpectations = {},
): Promise<PatchHead> {
  const head = parsePatchHead(bytes)
  const { header, headBytes, sizeBytes, signature } = head
  if (base !== undefined && header.base.digest !== base) throw new WrongBaseError(base, header.base.digest)
  if (maximumBytes !== undefined && sizeBytes > maximumBytes) {
    throw new PatchFormatError('size', `the file has ${sizeBytes} bytes, at most ${maximumBytes} are read`)
  }
  const signed = patchSigningBytes(bytes.subarray(0, headBytes - signatureBytes))
  if (!(await verifier.verify(header.author.peerId, signed, signature))) {
    throw new PatchFormatError('signature', 'not by the author it names')
  }
  return head
}
