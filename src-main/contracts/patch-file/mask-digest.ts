/**
 * The name of a mask: a digest of which entries of which tensors are meant, however a file writes them. Two patches with
 * one mask digest can share the index bytes.
 *
 *     SHA-256 over "quiltbee/patch-mask/1", a zero byte, and for each tensor in the order of names (code units):
 *       name: length in bytes (u32), UTF-8          shape: number of extents (u32), extents (u64 each)
 *       indices: how many (u64), each (u32), ascending                              all integers little-endian
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { type Digest, digestSchema } from '../digest.ts'
import { PatchFormatError } from './errors.ts'
import type { PatchDelta } from './patch.ts'

const domain = 'quiltbee/patch-mask/1\0'

export type TensorMask = Pick<PatchDelta, 'tensor' | 'shape' | 'indices'>

/** In whatever order tensors come. Throws `PatchFormatError` for a tensor named twice. Copies no indices. */
export function maskDigest(deltas: readonly TensorMask[]): Digest {
  const hash = sha256.create().update(utf8ToBytes(domain))
  let previous: string | undefined
  for (const { tensor, shape, indices } of [...deltas].sort(byName)) {
    if (tensor === previous) throw new PatchFormatError(tensor, 'is masked twice')
    previous = tensor
    const name = utf8ToBytes(tensor)
    hash.update(u32(name.length)).update(name).update(u32(shape.length))
    for (const extent of shape) hash.update(u64(extent))
    hash.update(u64(indices.length)).update(littleEndian(indices))
  }
  return digestSchema.parse(bytesToHex(hash.digest()))
}

function byName(a: TensorMask, b: TensorMask): number {
  if (a.tensor === b.tensor) return 0
  return a.tensor < b.tensor ? -1 : 1
}

/** The bytes as they lie in memory: every platform that we run on is little-endian. */
function littleEndian(indices: Uint32Array): Uint8Array {
  return new Uint8Array(indices.buffer, indices.byteOffset, indices.byteLength)
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, value % 2 ** 32, true)
  view.setUint32(4, Math.floor(value / 2 ** 32), true)
  return bytes
}
