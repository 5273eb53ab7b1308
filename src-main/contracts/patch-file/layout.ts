/**
 * How a patch file is laid out. `docs/formats/patch-file.md` says the same in words.
 *
 *   head     = magic (8) ‖ header length, u32 LE (4) ‖ header ‖ signature (64)
 *   file     = head ‖ sections, back to back, in the order of the header
 *   digest   = SHA-256(head): the header has every section's SHA-256, so it names the whole file
 *   signed   = domain ‖ 0x00 ‖ SHA-256(magic ‖ header length ‖ header)
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { type Digest, digestSchema } from '../digest.ts'
import { PatchFormatError } from './errors.ts'

/** A high byte, "QbP", and line ends of all kinds: a transfer that takes the file for text breaks the first eight bytes. */
export const magic = Uint8Array.of(0x89, 0x51, 0x62, 0x50, 0x0d, 0x0a, 0x1a, 0x0a)

const lengthBytes = 4
export const signatureBytes = 64
/** Magic and header length: what is to be read to know how long the head is. */
export const preambleBytes = magic.length + lengthBytes
export const maximumHeaderBytes = 4 << 20
export const maximumHeadBytes = preambleBytes + maximumHeaderBytes + signatureBytes

/** Put before the hash when signing, so that a patch's signature can never be taken for another kind of signature. */
export const patchSignatureDomain = 'quiltbee/patch/1'
const signaturePrefix = concatBytes(utf8ToBytes(patchSignatureDomain), new Uint8Array(1))

/** Length of the head, from the file's first 12 bytes. Throws `PatchFormatError` for another kind of file or a header too long. */
export function headLengthOf(preamble: Uint8Array): number {
  if (preamble.length < preambleBytes) throw new PatchFormatError('head', `cut short after ${preamble.length} bytes`)
  if (magic.some((byte, index) => preamble[index] !== byte)) throw new PatchFormatError('magic', 'not a patch file')
  const view = new DataView(preamble.buffer, preamble.byteOffset, preamble.byteLength)
  const headerBytes = view.getUint32(magic.length, true)
  if (headerBytes === 0 || headerBytes > maximumHeaderBytes) {
    throw new PatchFormatError('header length', `${headerBytes} bytes, expected 1 to ${maximumHeaderBytes}`)
  }
  return preambleBytes + headerBytes + signatureBytes
}

/** Magic, length and header: what is signed, and what stands before the signature. */
export function preambleAnd(header: Uint8Array): Uint8Array {
  const length = new Uint8Array(lengthBytes)
  new DataView(length.buffer).setUint32(0, header.length, true)
  return concatBytes(magic, length, header)
}

/** What the author's key signs. `unsigned` is all of the head before the signature. */
export function patchSigningBytes(unsigned: Uint8Array): Uint8Array {
  return concatBytes(signaturePrefix, sha256(unsigned))
}

export function digestOf(bytes: Uint8Array): Digest {
  return digestSchema.parse(bytesToHex(sha256(bytes)))
}
