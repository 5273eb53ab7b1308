import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ByteSource, bytesInMemory, piecesOf } from '#contracts/patch-file/byte-source.ts'
import { PatchFormatError, WrongBaseError } from '#contracts/patch-file/errors.ts'
import { valueFormats } from '#contracts/patch-file/header.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { parsePatchHead, verifyPatchHead } from '#contracts/patch-file/patch-head.ts'
import { openPatch } from '#contracts/patch-file/read-patch.ts'
import { roundValues } from '#contracts/patch-file/value-codec.ts'
import { writePatch } from '#contracts/patch-file/write-patch.ts'
import { knownIdentity } from '#test/core/ledger/known-ledger.ts'
import {
  exampleBase,
  exampleDescription,
  exampleMask,
  exampleNames,
  examples,
  fileOf,
  readFile,
  signer,
  verifier,
  writeExample,
} from './example-patches.ts'

const golden = (name: string) =>
  new Uint8Array(readFileSync(join(import.meta.dirname, '../../fixtures/patch-file', `${name}.qbpatch`)))

describe('the bytes of a patch', () => {
  it.each(exampleNames)('%s are as they have always been', async (name) => {
    expect(Buffer.from(fileOf(await writeExample(name))).equals(golden(name))).toBe(true)
  })

  it.each(exampleNames)('%s mean what they have always meant', async (name) => {
    const { head, content } = await readFile(golden(name))
    expect(head.header).toMatchObject(exampleDescription())
    expect(content).toEqual(rounded(examples[name].content, examples[name].valueFormat, examples[name].fisher))
  })

  it('do not depend on the order of what is written', async () => {
    const { content, ...options } = examples.everything
    const shuffled = {
      deltas: content.deltas.toReversed(),
      scales: content.scales.toReversed(),
      factors: content.factors.toReversed(),
    }
    const written = await writePatch(shuffled, exampleDescription(), { signer, ...options })
    expect(fileOf(written)).toEqual(fileOf(await writeExample('everything')))
  })

  it('do not have tensors of which nothing is changed', async () => {
    const { content, ...options } = examples.delta
    const none = { tensor: 'a', shape: [4], indices: new Uint32Array(), values: new Float32Array(), fisher: null }
    const written = await writePatch({ ...content, deltas: [none, ...content.deltas] }, exampleDescription(), {
      signer,
      ...options,
    })
    expect(fileOf(written)).toEqual(fileOf(await writeExample('delta')))
  })
})

/** What a reader has of it: values as they were rounded, the Fisher only where it was asked for. */
function rounded(content: PatchContent, format: (typeof valueFormats)[number], fisher: boolean): PatchContent {
  return {
    deltas: content.deltas.map((delta) => ({
      ...delta,
      values: roundValues(delta.values, format),
      fisher: fisher && delta.fisher !== null ? expect.any(Float32Array) : null,
    })),
    scales: content.scales,
    factors: content.factors.map((factor) => ({
      ...factor,
      left: roundValues(factor.left, format),
      right: roundValues(factor.right, format),
    })),
  }
}

const finite = fc.float({ noNaN: true, noDefaultInfinity: true, min: -60_000, max: 60_000 })

const deltaContent = fc
  .record({
    extents: fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 3 }),
    places: fc.uniqueArray(fc.integer({ min: 0, max: 399 }), { minLength: 1, maxLength: 60 }),
    values: fc.infiniteStream(finite),
    withFisher: fc.boolean(),
  })
  .map(({ extents, places, values, withFisher }) => {
    const size = extents.reduce((product, extent) => product * extent, 1)
    const indices = Uint32Array.from(new Set(places.map((place) => place % size))).sort()
    const take = () => Float32Array.from(indices, () => Number(values.next().value))
    return { shape: extents, indices, values: take(), fisher: withFisher ? take().map(Math.abs) : null }
  })

const anyContent = fc
  .record({
    deltas: fc.dictionary(fc.string({ minLength: 1, maxLength: 12 }), deltaContent, { minKeys: 1, maxKeys: 5 }),
    scales: fc.uniqueArray(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
    rank: fc.integer({ min: 1, max: 3 }),
  })
  .map(
    ({ deltas, scales, rank }): PatchContent => ({
      deltas: Object.entries(deltas)
        .map(([tensor, delta]) => ({ tensor, ...delta }))
        .sort((a, b) => (a.tensor < b.tensor ? -1 : 1)),
      scales: scales
        .sort((a, b) => a - b)
        .map((block) => ({ block, target: 'value', values: Float32Array.of(block, 1) })),
      factors: [
        {
          tensor: 'w',
          shape: [2, 3],
          rank,
          left: new Float32Array(2 * rank).fill(2),
          right: new Float32Array(3 * rank).fill(-1),
        },
      ],
    }),
  )

describe('a patch that was written', () => {
  it('is read as it was, whatever it holds', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyContent,
        fc.constantFrom(...valueFormats),
        fc.boolean(),
        async (content, valueFormat, fisher) => {
          const options = { signer, valueFormat, fisher, sharedMask: false }
          const written = await writePatch(content, exampleDescription(), options)
          const { content: read, head } = await readFile(fileOf(written))
          expect(read).toEqual(rounded(content, valueFormat, fisher))
          expect(head).toMatchObject({ digest: written.digest, header: written.header, sizeBytes: written.byteLength })
          expect(await writePatch(read, exampleDescription(), options)).toMatchObject({ digest: written.digest })
        },
      ),
      { numRuns: 60 },
    )
  })

  it('is read with the indices of another when it shares its mask', async () => {
    const [alone, shared] = [await writeExample('delta'), await writeExample('shared-mask')]
    expect(shared.header.maskDigest).toBe(alone.header.maskDigest)
    expect(shared.header.sections.map((section) => section.kind === 'delta' && section.indexBytes)).toEqual([0, 0])
    const reader = await openPatch(bytesInMemory(fileOf(shared)), verifier)
    await expect(reader.readContent()).rejects.toThrow(/shared with another patch/)
    const { deltas } = await reader.readContent({ sharedMask: exampleMask })
    expect(deltas.map(({ indices }) => indices)).toEqual(examples.delta.content.deltas.map(({ indices }) => indices))
    const shifted = exampleMask?.map((mask) => ({
      ...mask,
      indices: mask.indices.map((index) => (index === 40 ? 41 : index)),
    }))
    await expect(reader.readContent({ sharedMask: shifted })).rejects.toThrow(/maskDigest/)
    const longer = exampleMask?.map((mask) => ({ ...mask, indices: Uint32Array.of(...mask.indices, 96) }))
    await expect(reader.readContent({ sharedMask: longer })).rejects.toThrow(PatchFormatError)
  })

  it('is read one tensor at a time, without the rest', async () => {
    const file = fileOf(await writeExample('everything'))
    const { source, reads } = watched(file)
    const reader = await openPatch(source, verifier)
    reads.length = 0
    const section = await reader.readSection(1)
    expect(section).toMatchObject({ kind: 'delta', delta: { tensor: 'model.norm.weight', indices: Uint32Array.of(3) } })
    expect(reads).toHaveLength(1)
    expect(reads[0]?.[1]).toBe(reader.head.header.sections[1]?.bytes)
    await expect(reader.readSection(9)).rejects.toThrow(RangeError)
  })

  it('stops reading when it is told to', async () => {
    const reader = await openPatch(bytesInMemory(fileOf(await writeExample('everything'))), verifier)
    await expect(reader.readContent({ signal: AbortSignal.abort() })).rejects.toThrow(/abort/)
  })

  it('has pieces that make up the file', async () => {
    const bytes = new Uint8Array(3 << 19).map((_, index) => index % 251)
    const pieces: Uint8Array[] = []
    for await (const piece of piecesOf(bytesInMemory(bytes))) pieces.push(piece)
    expect(pieces.map((piece) => piece.length)).toEqual([1 << 20, 1 << 19])
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true)
  })
})

function watched(bytes: Uint8Array): { source: ByteSource; reads: (readonly [number, number])[] } {
  const reads: (readonly [number, number])[] = []
  const source = bytesInMemory(bytes)
  return {
    reads,
    source: {
      byteLength: source.byteLength,
      read(offset, length) {
        reads.push([offset, length])
        return source.read(offset, length)
      },
    },
  }
}

describe('a head', () => {
  it('is verified before a section is read, and refused by its base', async () => {
    const file = fileOf(await writeExample('everything'))
    const { source, reads } = watched(file)
    const other = parsePatchHead((await writeExample('delta')).head).digest
    await expect(openPatch(source, verifier, { base: other })).rejects.toThrow(WrongBaseError)
    expect(Math.max(...reads.map(([offset, length]) => offset + length))).toBe(
      parsePatchHead((await writeExample('everything')).head).headBytes,
    )
    await expect(openPatch(source, verifier, { base: exampleBase })).resolves.toBeDefined()
  })

  it('is refused by the size that it claims', async () => {
    const { head, byteLength } = await writeExample('delta')
    await expect(verifyPatchHead(head, verifier, { maximumBytes: byteLength - 1 })).rejects.toThrow(/at most/)
    await expect(verifyPatchHead(head, verifier, { maximumBytes: byteLength })).resolves.toMatchObject({
      sizeBytes: byteLength,
    })
  })
})

describe('writing refuses', () => {
  const { content, ...options } = examples.delta
  const [first, second] = content.deltas
  const write = (changes: Partial<PatchContent>, description = exampleDescription()) =>
    writePatch({ ...content, ...changes }, description, { signer, ...options })
  const changed = (delta: object) => ({ deltas: [{ ...first, ...delta } as (typeof content.deltas)[0]] })

  it.each<[string, () => Promise<unknown>, string]>([
    ['a tensor twice', () => write({ deltas: [first, second, first].filter((delta) => delta !== undefined) }), 'twice'],
    [
      'places out of order',
      () => write(changed({ indices: Uint32Array.of(0, 6, 5, 40, 95) })),
      'down_proj.weight indices',
    ],
    ['a place outside of the tensor', () => write(changed({ indices: Uint32Array.of(0, 5, 6, 40, 96) })), '96'],
    ['fewer values than places', () => write(changed({ values: Float32Array.of(1) })), 'values'],
    ['values that are none', () => write(changed({ values: Float32Array.of(1, 2, Number.NaN, 4, 5) })), 'NaN'],
    ['content that changes nothing', () => write({ deltas: [] }), 'changes nothing'],
    [
      'a scale without numbers',
      () => write({ scales: [{ block: 0, target: 'key', values: new Float32Array() }] }),
      'entries',
    ],
    [
      'an author who does not sign',
      async () => {
        const author = { peerId: (await knownIdentity(9)).peerId, name: '' }
        return write({}, exampleDescription({ author }))
      },
      'author.peerId',
    ],
    ['a description that does not fit', () => write({}, exampleDescription({ title: '' })), 'title'],
  ])('%s, by name', async (_, writing, message) => {
    await expect(writing()).rejects.toThrow(PatchFormatError)
    await expect(writing()).rejects.toThrow(message)
  })
})
