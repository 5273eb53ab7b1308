/**
 * Stored numbers to float32. Bytes are little-endian, as in safetensors and llama2.c files and on every platform that
 * Electron runs on, so typed arrays may view them directly.
 */
import { bytesPerElement, type Dtype } from '#contracts/model/manifest.ts'

/** Decodes a whole tensor's bytes into a new float32 array. Throws `RangeError` when bytes do not make whole elements. */
export function decodeFloats(dtype: Dtype, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const target = new Float32Array(Math.floor(bytes.byteLength / bytesPerElement[dtype]))
  decodeFloatsInto(target, dtype, bytes)
  return target
}

/** As `decodeFloats`, into memory the caller holds. Throws `RangeError` when the sizes differ. */
export function decodeFloatsInto(target: Float32Array, dtype: Dtype, bytes: Uint8Array): void {
  if (bytes.byteLength !== target.length * bytesPerElement[dtype]) {
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

let halves: Float32Array | undefined

/** All 65,536 halves as float32 (256 KiB, made once): a look-up is several times faster than taking bits apart. */
function halfTable(): Float32Array {
  halves ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => halfToNumber(bits))
  return halves
}

/** IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits >>> 15 ? -1 : 1
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** A bfloat16 is the upper half of a float32. */
function decodeBrainFloats(target: Float32Array, brainFloats: Uint16Array): void {
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length)
  for (let i = 0; i < brainFloats.length; i++) bits[i] = (brainFloats[i] as number) << 16
}
