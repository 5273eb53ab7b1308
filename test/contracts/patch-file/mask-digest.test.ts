import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import { maskDigest } from '#contracts/patch-file/mask-digest.ts'

const first = { tensor: 'a.weight', shape: [4, 8], indices: Uint32Array.of(0, 5, 31) }
const second = { tensor: 'b.weight', shape: [2 ** 32], indices: Uint32Array.of(2 ** 32 - 1) }

describe('a mask’s digest', () => {
  it('is the SHA-256 of the described bytes', () => {
    const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer)
    const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer)
    const bytes = Buffer.concat([
      Buffer.from('quiltbee/patch-mask/1\0'),
      ...[u32(8), Buffer.from('a.weight'), u32(2), u64(4), u64(8), u64(3), u32(0), u32(5), u32(31)],
      ...[u32(8), Buffer.from('b.weight'), u32(1), u64(2 ** 32), u64(1), u32(2 ** 32 - 1)],
    ])
    expect(maskDigest([first, second])).toBe(createHash('sha256').update(bytes).digest('hex'))
  })

  it('does not depend on the order of tensors, nor on where indices lie', () => {
    const inLarger = Uint32Array.of(9, 0, 5, 31, 9).subarray(1, 4)
    expect(maskDigest([second, { ...first, indices: inLarger }])).toBe(maskDigest([first, second]))
  })

  it('differs for another name, shape or place', () => {
    const others = [
      { ...first, tensor: 'a.weighu' },
      { ...first, shape: [8, 4] },
      { ...first, shape: [32] },
      { ...first, indices: Uint32Array.of(0, 5) },
      { ...first, indices: Uint32Array.of(0, 6, 31) },
    ]
    const digests = [first, ...others].map((mask) => maskDigest([mask]))
    expect(new Set(digests).size).toBe(digests.length)
  })

  it('is refused for a tensor that is named twice', () => {
    expect(() => maskDigest([first, second, first])).toThrow(PatchFormatError)
  })
})
