import * as dagCbor from '@ipld/dag-cbor'
import { describe, expect, it } from 'vitest'
import { bytesInMemory } from '#contracts/patch-file/byte-source.ts'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import { headLengthOf, maximumHeaderBytes, preambleBytes } from '#contracts/patch-file/layout.ts'
import { openPatch } from '#contracts/patch-file/read-patch.ts'
import { knownIdentity } from '#test/core/ledger/known-ledger.ts'
import { credulous, exampleNames, fileOf, readFile, writeExample } from './example-patches.ts'
import { judge, leavesOf, replaceAt } from './mutations.ts'
import { seal, sealBytes, sealUnsigned, wireHeaderOf, withSections } from './sealing.ts'

const everything = await writeExample('everything')
const file = fileOf(everything)

describe('a file that has changed on its way', () => {
  it('is refused wherever it ends', async () => {
    for (let length = 0; length < file.length; length++) {
      await expect(readFile(file.subarray(0, length)), `${length} bytes`).rejects.toThrow(PatchFormatError)
    }
  })

  it('is refused with bytes after its end', async () => {
    await expect(readFile(Uint8Array.of(...file, 0))).rejects.toThrow(/size/)
  })

  it('is refused with any one bit turned', async () => {
    for (let place = 0; place < file.length; place++) {
      const turned = Uint8Array.from(file)
      turned[place] = (turned[place] ?? 0) ^ (1 << (place % 8))
      await expect(readFile(turned), `byte ${place}`).rejects.toThrow(PatchFormatError)
    }
  })

  it('is refused with the signature of somebody else, or under the name of somebody else', async () => {
    const header = wireHeaderOf(everything.head)
    const author = { peerId: (await knownIdentity(9)).peerId, name: 'Ahab' }
    await expect(readFile(await seal({ ...header, author }, everything.sections))).rejects.toThrow(/signature/)
    await expect(readFile(sealUnsigned(header, everything.sections))).rejects.toThrow(/signature/)
    const malformed = { ...header, author: { peerId: 'nobody', name: '' } }
    await expect(readFile(await seal(malformed, everything.sections))).rejects.toThrow(/signature/)
  })
})

describe('a header that its own author made wrong', () => {
  const wrong = [undefined, null, -1, 0.5, 2 ** 53 - 1, 'x'.repeat(5_000), [], {}, true, new Uint8Array(31)]

  it.each(exampleNames)('is refused by name or sound, whatever one field of %s is', async (name) => {
    const { head, sections } = await writeExample(name)
    const header = wireHeaderOf(head)
    let refused = 0
    for (const path of leavesOf(header)) {
      for (const value of wrong) {
        const mutant = sealUnsigned(
          replaceAt(header, path, () => value),
          sections,
        )
        if ((await judge({ kind: 'header', file: mutant })) === 'refused') refused++
      }
    }
    expect(refused).toBeGreaterThan(0.9 * leavesOf(header).length * wrong.length)
  })

  it.each([
    [],
    ['author'],
    ['base'],
    ['training'],
    ['training', 'mask'],
    ['training', 'hyperParameters'],
    ['data'],
    ['metrics', 0],
    ['metrics', 0, 'gain'],
  ])('is refused with a field too many: %j', async (...path) => {
    const mutant = replaceAt(wireHeaderOf(everything.head), path, (value) => ({ ...(value as object), more: 1 }))
    await expect(readFile(await seal(mutant, everything.sections))).rejects.toThrow(PatchFormatError)
  })

  const section = (index: number, change: (row: unknown[]) => unknown[]) => {
    const header = wireHeaderOf(everything.head)
    return { ...header, sections: header.sections.map((row, i) => (i === index ? change(row) : row)) }
  }
  const header = wireHeaderOf(everything.head)
  const [first = [], second = []] = header.sections

  it.each<[string, unknown, string]>([
    ['a tensor twice', { ...header, sections: [first, first, ...header.sections.slice(1)] }, 'twice'],
    ['tensors out of order', { ...header, sections: [second, first, ...header.sections.slice(2)] }, 'out of order'],
    ['no sections', { ...header, sections: [], maskDigest: null }, 'changes nothing'],
    ['a mask without deltas', { ...header, sections: header.sections.slice(2) }, 'maskDigest'],
    ['deltas without a mask', { ...header, maskDigest: null }, 'maskDigest'],
    ['a shared mask with indices', { ...header, sharedMask: true }, 'indexBytes'],
    ['a mask of its own without indices', section(0, (row) => row.with(4, 0)), 'indexBytes'],
    ['more entries than the tensor has', section(1, (row) => row.with(3, 9)), 'entries'],
    ['a tensor of more than 2^32 entries', section(0, (row) => row.with(2, [2 ** 31, 4])), 'shape'],
    ['a version to come', { ...header, formatVersion: 2 }, 'formatVersion'],
    ['a kind of section to come', section(0, (row) => row.with(0, 3)), 'sections'],
    ['a parent twice', { ...header, parents: [new Uint8Array(32), new Uint8Array(32)] }, 'parents'],
  ])('is refused: %s', async (_, mutant, message) => {
    const reading = readFile(await seal(mutant, everything.sections))
    await expect(reading).rejects.toThrow(PatchFormatError)
    await expect(reading).rejects.toThrow(message)
  })

  it.each<[string, Uint8Array, string]>([
    ['no CBOR', Uint8Array.of(0xff, 0, 0), 'header'],
    ['arrays in arrays without end', new Uint8Array(60_000).fill(0x81), 'nested deeper'],
    [
      'a million items',
      new Uint8Array(1_000_005).fill(0x9a, 0, 1).fill(0x0f, 2, 3).fill(0x42, 3, 4).fill(0x40, 4, 5),
      'items',
    ],
    ['a number longer than need be', Uint8Array.of(0x18, 1), 'header'],
    ['keys in another order', reordered(header), 'canonical'],
  ])('is refused: %s', async (_, bytes, message) => {
    await expect(readFile(await sealBytes(bytes, []))).rejects.toThrow(message)
  })

  it('is refused by its length alone when it claims too much', () => {
    const preamble = file.slice(0, preambleBytes)
    new DataView(preamble.buffer).setUint32(8, maximumHeaderBytes + 1, true)
    expect(() => headLengthOf(preamble)).toThrow(/header length/)
    new DataView(preamble.buffer).setUint32(8, 0, true)
    expect(() => headLengthOf(preamble)).toThrow(/header length/)
  })
})

/** The same map with its keys the wrong way round: a decoder that is not strict reads the same. */
function reordered(header: object): Uint8Array {
  const pairs = Object.entries(header)
    .sort(([a], [b]) => b.length - a.length)
    .map(([key, value]) => [dagCbor.encode(key), dagCbor.encode(value)])
  return new Uint8Array(Buffer.concat([Uint8Array.of(0xa0 + pairs.length), ...pairs.flat()]))
}

describe('sections that their own author made wrong', () => {
  it('are not read at all when they claim more than the file has', async () => {
    const header = wireHeaderOf((await writeExample('delta')).head)
    const bomb = header.sections.map((row, i) => (i === 0 ? row.with(2, [2 ** 16, 2 ** 16]).with(3, 2 ** 32) : row))
    const mutant = sealUnsigned({ ...header, sections: bomb }, everything.sections)
    let bytesRead = 0
    const source = bytesInMemory(mutant)
    const counting: typeof source = {
      ...source,
      read(offset, length) {
        bytesRead += length
        return source.read(offset, length)
      },
    }
    await expect(openPatch(counting, credulous)).rejects.toThrow(/size/)
    expect(bytesRead).toBeLessThan(mutant.length + preambleBytes)
  })

  it('are refused when they hold numbers that are none', async () => {
    const scale = await writeExample('scale')
    const [first, ...others] = scale.sections
    const nan = Uint8Array.from(first ?? [])
    new DataView(nan.buffer).setFloat32(4, Number.NaN, true)
    const sections = [nan, ...others]
    await expect(readFile(await seal(withSections(scale, sections), sections))).rejects.toThrow(/block 0 key/)
  })

  it('are refused when the mask is not the one that is named', async () => {
    const header = { ...wireHeaderOf(everything.head), maskDigest: new Uint8Array(32) }
    await expect(readFile(await seal(header, everything.sections))).rejects.toThrow(/maskDigest/)
  })
})
