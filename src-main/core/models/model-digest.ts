/**
 * The name of a base model: one SHA-256 over its shape and the digests of its tensors. Two models have the same digest
 * exactly when they compute the same function from the same stored numbers, whatever file they came in; the tokenizer,
 * the licence and the name are not part of it. `docs/formats/model-manifest.md` has it in detail.
 */
import { encode } from '@ipld/dag-cbor'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import type { ModelConfig, TensorEntry } from '#contracts/model/manifest.ts'

/** Hashed before the encoded model, so that no other digest of ours can ever mean the same bytes. */
const domain = utf8ToBytes('quiltbee/model/1\n')

/** sha256(domain ‖ dag-cbor([config, tensors sorted by name])). DAG-CBOR sorts map keys: there is one encoding only. */
export function modelDigest(config: ModelConfig, tensors: readonly TensorEntry[]): Digest {
  const rows = [...tensors].sort(byName).map(({ name, dtype, shape, sha256 }) => ({ name, dtype, shape, sha256 }))
  return digestSchema.parse(bytesToHex(sha256(concatBytes(domain, encode([config, rows])))))
}

function byName(a: TensorEntry, b: TensorEntry): number {
  return a.name < b.name ? -1 : Number(a.name > b.name)
}
