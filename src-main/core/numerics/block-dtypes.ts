/**
 * GGUF's quantised types to float32. A row is cut into blocks of 32 or 256 weights; a block holds small integers and the
 * half-precision scales that make numbers of them again. Layouts are those of ggml (`ggml-common.h`, `ggml-quants.c`),
 * and so is every bit of the results: all products below are exact in float32, and a sum is rounded once.
 */
import type { Dtype } from '#contracts/model/manifest.ts'
import { halfTable } from './half-floats.ts'

export type BlockDtype = Exclude<Dtype, 'F32' | 'F16' | 'BF16'>

type DecodeBlocks = (target: Float32Array, bytes: Uint8Array) => void

/** Each decodes whole blocks; `target` has as many elements as the blocks hold. */
export const decodeBlocks: Readonly<Record<BlockDtype, DecodeBlocks>> = {
  Q8_0: decodeQ8_0,
  Q4_0: decodeQ4_0,
  Q4_1: decodeQ4_1,
  Q4_K: decodeQ4_K,
  Q6_K: decodeQ6_K,
}

/** Half scale, 32 signed bytes. w = d q */
function decodeQ8_0(target: Float32Array, bytes: Uint8Array): void {
  const half = halfTable()
  for (let block = 0, out = 0; out < target.length; block += 34) {
    const d = half[u16(bytes, block)] as number
    for (let i = block + 2; i < block + 34; i++) target[out++] = d * signed(bytes[i] as number)
  }
}

/** Half scale, 16 bytes: low nibbles are the weights 0 to 15, high ones 16 to 31. w = d (q - 8) */
function decodeQ4_0(target: Float32Array, bytes: Uint8Array): void {
  const half = halfTable()
  for (let block = 0, out = 0; out < target.length; block += 18, out += 32) {
    const d = half[u16(bytes, block)] as number
    for (let i = 0; i < 16; i++) {
      const pair = bytes[block + 2 + i] as number
      target[out + i] = d * ((pair & 15) - 8)
      target[out + i + 16] = d * ((pair >> 4) - 8)
    }
  }
}

/** Half scale, half minimum, 16 bytes as in Q4_0. w = d q + m */
function decodeQ4_1(target: Float32Array, bytes: Uint8Array): void {
  const half = halfTable()
  for (let block = 0, out = 0; out < target.length; block += 20, out += 32) {
    const d = half[u16(bytes, block)] as number
    const m = half[u16(bytes, block + 2)] as number
    for (let i = 0; i < 16; i++) {
      const pair = bytes[block + 4 + i] as number
      target[out + i] = d * (pair & 15) + m
      target[out + i + 16] = d * (pair >> 4) + m
    }
  }
}

/**
 * Half scale d, half minimum m, eight 6-bit pairs (sc, mn) in 12 bytes, 128 bytes of nibbles: eight groups of 32 weights,
 * two groups (low nibbles, then high ones) to 32 bytes. w = (d sc) q - (m mn)
 */
function decodeQ4_K(target: Float32Array, bytes: Uint8Array): void {
  const half = halfTable()
  for (let block = 0, out = 0; out < target.length; block += 144) {
    const d = half[u16(bytes, block)] as number
    const m = half[u16(bytes, block + 2)] as number
    for (let group = 0; group < 8; group += 2, out += 64) {
      const low = sixBits(bytes, block + 4, group)
      const high = sixBits(bytes, block + 4, group + 1)
      const [lowScale, lowMinimum] = [d * (low & 63), m * (low >> 6)]
      const [highScale, highMinimum] = [d * (high & 63), m * (high >> 6)]
      const start = block + 16 + 16 * group
      for (let i = 0; i < 32; i++) {
        const pair = bytes[start + i] as number
        target[out + i] = lowScale * (pair & 15) - lowMinimum
        target[out + i + 32] = highScale * (pair >> 4) - highMinimum
      }
    }
  }
}

/**
 * The pair of a group, as `sc | mn << 6`. Groups 0 to 3 have theirs in the low six bits of bytes 0 to 3 and 4 to 7;
 * groups 4 to 7 have four bits of each in bytes 8 to 11, and the two above in what the others left free.
 */
function sixBits(bytes: Uint8Array, start: number, group: number): number {
  if (group < 4) return ((bytes[start + group] as number) & 63) | (((bytes[start + group + 4] as number) & 63) << 6)
  const both = bytes[start + group + 4] as number
  const scale = (both & 15) | (((bytes[start + group - 4] as number) >> 6) << 4)
  const minimum = (both >> 4) | (((bytes[start + group] as number) >> 6) << 4)
  return scale | (minimum << 6)
}

/**
 * 128 bytes of low nibbles, 64 bytes of upper bit pairs, sixteen signed scales (one for 16 weights), half scale d. Each
 * half of the block has 128 weights in four runs of 32 that share their bytes. w = (d sc) (q - 32)
 */
function decodeQ6_K(target: Float32Array, bytes: Uint8Array): void {
  const half = halfTable()
  for (let block = 0, out = 0; out < target.length; block += 210) {
    const d = half[u16(bytes, block + 208)] as number
    for (let part = 0; part < 2; part++, out += 128) {
      const scales = block + 192 + 8 * part
      for (let i = 0; i < 32; i++) {
        const low = bytes[block + 64 * part + i] as number
        const next = bytes[block + 64 * part + 32 + i] as number
        const upper = bytes[block + 128 + 32 * part + i] as number
        const scale = scales + (i >> 4)
        target[out + i] = d * signed(bytes[scale] as number) * (((low & 15) | ((upper & 3) << 4)) - 32)
        target[out + i + 32] = d * signed(bytes[scale + 2] as number) * (((next & 15) | ((upper & 12) << 2)) - 32)
        target[out + i + 64] = d * signed(bytes[scale + 4] as number) * (((low >> 4) | (upper & 48)) - 32)
        target[out + i + 96] = d * signed(bytes[scale + 6] as number) * (((next >> 4) | ((upper & 192) >> 2)) - 32)
      }
    }
  }
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8)
}

function signed(byte: number): number {
  return (byte << 24) >> 24
}
