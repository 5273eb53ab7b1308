/**
 * The canonical bytes of a ledger entry, its hash, and what is signed. `docs/formats/ledger.md` says the same in words.
 *
 *   bytes     = DAG-CBOR of a map of the entry's fields; digests as 32 bytes, the span as [start, end]
 *   hash      = SHA-256(bytes)
 *   signature = Ed25519(key, domain ‖ 0x00 ‖ hash)
 *
 * DAG-CBOR (ipld.io/specs/codecs/dag-cbor) has exactly one encoding for a value: keys sorted, integers shortest.
 */
import { encode } from '@ipld/dag-cbor'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { type Digest, digestSchema } from '../digest.ts'
import { type LedgerEntry, type LedgerHead, ledgerSignatureDomain, type SessionRecord } from './ledger-entry.ts'

/** Stands where the first entry would name the one before it. */
export const firstPreviousHash: Digest = digestSchema.parse('0'.repeat(64))

const signaturePrefix = concatBytes(utf8ToBytes(ledgerSignatureDomain), new Uint8Array(1))

/** `entry` must fit `ledgerEntrySchema`. */
export function encodeEntry(entry: LedgerEntry): Uint8Array {
  return encode({
    ...entry,
    span: [entry.span.start, entry.span.end],
    modelDigest: hexToBytes(entry.modelDigest),
    previousHash: hexToBytes(entry.previousHash),
  })
}

export function hashEntry(entry: LedgerEntry): Digest {
  return digestSchema.parse(bytesToHex(sha256(encodeEntry(entry))))
}

/** What the node's key signs for an entry with this hash. */
export function signingBytes(hash: string): Uint8Array {
  return concatBytes(signaturePrefix, hexToBytes(hash))
}

/** The entry that follows `head` (null: the first) and holds `record`. */
export function entryAfter(head: Pick<LedgerHead, 'sequence' | 'hash'> | null, record: SessionRecord): LedgerEntry {
  return {
    ...record,
    version: 1,
    sequence: head === null ? 0 : head.sequence + 1,
    previousHash: head === null ? firstPreviousHash : digestSchema.parse(head.hash),
  }
}
