/**
 * Stored numbers to float32. Bytes are little-endian, as in safetensors and llama2.c files and on every platform that
 * Electron runs on, so typed arrays may view them directly.
 */
import { type Dtype, dtypeBlocks, storedBytes } from '#contracts/model/manifest.ts'
import { decodeBlocks } from './block-dtypes.ts'
import { halfTable } from './half-floats.ts'

/** Decodes a whole tensor's bytes into a new float32 array. Throws `RangeError` when bytes do not make whole elements. */
export function decodeFloats(dtype: Dtype, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const block = dtypeBlocks[dtype]
  const target = new Float32Array(Math.floor(bytes.byteLength / block.bytes) * block.elements)
  decodeFloatsInto(target, dtype, bytes)
  return target
}

/** As `decodeFloats`, into memory the caller holds. Throws `RangeError` when the sizes differ. */
export function decodeFloatsInto(target: Float32Array, dtype: Dtype, bytes: Uint8Array): void {
  if (bytes.byteLength !== storedBytes(dtype, target.length)) {
    throw new RangeError(`${bytes.byteLength} bytes do not hold ${target.length} elements of ${dtype}`)
  }
  switch (dtype) {
    case 'F32':
      target.set(new Float32Array(...viewArguments(bytes, 4)))
      break
    case 'F16':
      decodeHalves(target, new Uint16Array(...viewArguments(bytes, 2)))
      break
    case 'BF16':
      decodeBrainFloats(target, new Uint16Array(...viewArguments(bytes, 2)))
      break
    default:
      decodeBlocks[dtype](target, bytes)
  }
}

/** What a typed array needs to view `bytes`; bytes at an odd place in their buffer are copied first. */
function viewArguments(bytes: Uint8Array, elementBytes: number): [ArrayBufferLike, number, number] {
  const placed = bytes.byteOffset % elementBytes === 0 ? bytes : bytes.slice()
  return [placed.buffer, placed.byteOffset, placed.byteLength / elementBytes]
}

function decodeHalves(target: Float32Array, halves: Uint16Array): void {
  const table = halfTable()
  for (let i = 0; i < halves.length; i++) target[i] = table[halves[i] as number] as number
}

/** A bfloat16 is the upper half of a float32. */
function decodeBrainFloats(target: Float32Array, brainFloats: Uint16Array): void {
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length)
  for (let i = 0; i < brainFloats.length; i++) bits[i] = (brainFloats[i] as number) << 16
}
