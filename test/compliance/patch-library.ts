/** What every patch library does, whatever it keeps patches in. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { digestSchema } from '#contracts/digest.ts'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import { PatchNotFoundError, QuotaExceededError } from '#core/errors.ts'
import type { IncomingPatch, PatchLibrary } from '#core/ports/patch-library.ts'
import { type MadePatch, makePatch, pieces } from '#test/helpers/make-patch.ts'

export const complianceQuotaBytes = 100_000

export interface PatchLibraryHarness {
  open(): Promise<PatchLibrary>
  cleanUp(): Promise<void>
}

const otherBase = digestSchema.parse('cd'.repeat(32))

export function describePatchLibrary(name: string, createHarness: () => Promise<PatchLibraryHarness>): void {
  describe(`${name}, as a patch library`, () => {
    let harness: PatchLibraryHarness
    let library: PatchLibrary
    let patch: MadePatch

    beforeEach(async () => {
      harness = await createHarness()
      library = await harness.open()
      patch = await makePatch()
    })
    afterEach(() => harness.cleanUp())

    const add = (made: MadePatch, where: 'mine' | 'fetched' | 'imported' = 'mine') =>
      library.add(pieces(made.bytes), { where })

    /** Appends all that is left, section by section. */
    async function complete(incoming: IncomingPatch, made: MadePatch): Promise<void> {
      for (let at = incoming.next(); at !== null; at = incoming.next()) {
        await incoming.append((made.sections[at.section] ?? new Uint8Array()).subarray(at.offset))
      }
    }

    it('is empty at first', async () => {
      expect(await library.list()).toEqual([])
      expect(await library.usage()).toEqual({ bytes: 0, quotaBytes: complianceQuotaBytes })
      expect(await library.follows()).toEqual([])
    })

    it('keeps what is added, and gives it back', async () => {
      const kept = await add(patch)
      expect(kept).toMatchObject({
        digest: patch.digest,
        header: patch.header,
        headBytes: patch.head.length,
        sizeBytes: patch.byteLength,
        receivedBytes: patch.byteLength,
        complete: true,
        where: 'mine',
        shared: false,
        tags: [],
      })
      expect(await library.list()).toEqual([kept])
      const content = await library.read(patch.digest)
      expect(content.deltas.map(({ tensor }) => tensor)).toHaveLength(3)
      expect(await library.bytes(patch.digest, 0, patch.byteLength)).toEqual(patch.bytes)
      expect(await library.bytes(patch.digest, 100, 7)).toEqual(patch.bytes.slice(100, 107))
    })

    it('has one of each patch, and what the owner made stays the owner’s', async () => {
      await add(patch, 'imported')
      expect(await add(patch, 'mine')).toMatchObject({ where: 'mine' })
      expect(await add(patch, 'imported')).toMatchObject({ where: 'mine' })
      expect(await library.list()).toHaveLength(1)
    })

    it.each([
      ['cut short', (bytes: Uint8Array) => bytes.slice(0, -1)],
      ['longer than its header says', (bytes: Uint8Array) => Uint8Array.of(...bytes, 0)],
      ['changed in its last section', (bytes: Uint8Array) => bytes.with(bytes.length - 1, 1 ^ (bytes.at(-1) ?? 0))],
      ['changed in its header', (bytes: Uint8Array) => bytes.with(200, 1 ^ (bytes[200] ?? 0))],
      ['empty', () => new Uint8Array()],
      ['of another kind', () => new Uint8Array(5_000).fill(7)],
    ])('takes no file that is %s, and keeps nothing of it', async (_, spoil) => {
      await expect(library.add(pieces(spoil(patch.bytes)), { where: 'mine' })).rejects.toThrow(PatchFormatError)
      expect(await library.list()).toEqual([])
      expect(await library.usage()).toMatchObject({ bytes: 0 })
    })

    it('finds a patch by digest, prefix or tag, and says when there is none', async () => {
      await add(patch)
      await library.tag('sea', patch.digest)
      for (const name of [patch.digest, patch.digest.slice(0, 8), 'sea']) {
        expect((await library.get(name)).digest).toBe(patch.digest)
      }
      for (const name of [patch.digest.slice(0, 7), '0'.repeat(64), 'land']) {
        await expect(library.get(name)).rejects.toThrow(PatchNotFoundError)
      }
    })

    it('moves a tag that is given again, and takes it away', async () => {
      const other = await makePatch({ title: 'Ships' })
      await add(patch)
      await add(other)
      await library.tag('sea', patch.digest)
      await library.tag('sea', other.digest)
      expect((await library.get('sea')).digest).toBe(other.digest)
      expect((await library.get(patch.digest)).tags).toEqual([])
      await library.tag('sea', null)
      await expect(library.get('sea')).rejects.toThrow(PatchNotFoundError)
      await expect(library.tag('sea', digestSchema.parse('0'.repeat(64)))).rejects.toThrow(PatchNotFoundError)
    })

    it('lists by base, and what is whole', async () => {
      const other = await makePatch({ title: 'Ships', base: otherBase })
      await add(patch)
      await (await library.receive(other.head)).close()
      expect((await library.list({ base: otherBase })).map(({ digest }) => digest)).toEqual([other.digest])
      expect((await library.list({ complete: true })).map(({ digest }) => digest)).toEqual([patch.digest])
      expect((await library.list({ complete: false })).map(({ digest }) => digest)).toEqual([other.digest])
    })

    it('receives a patch in pieces, checks each section, and has it when it is finished', async () => {
      const incoming = await library.receive(patch.head)
      expect(incoming.next()).toEqual({ section: 0, offset: 0 })
      expect(incoming.patch).toMatchObject({ complete: false, receivedBytes: patch.head.length, where: 'fetched' })
      const [first = new Uint8Array()] = patch.sections
      expect(await incoming.append(first.subarray(0, 10))).toEqual({ whole: false })
      expect(incoming.next()).toEqual({ section: 0, offset: 10 })
      expect(incoming.patch.receivedBytes).toBe(patch.head.length + 10)
      expect(await incoming.append(first.subarray(10))).toEqual({ whole: true })
      expect(incoming.next()).toEqual({ section: 1, offset: 0 })
      await expect(library.read(patch.digest)).rejects.toThrow(PatchNotFoundError)
      await expect(library.bytes(patch.digest, 0, 1)).rejects.toThrow(PatchNotFoundError)
      await complete(incoming, patch)
      expect(await incoming.finish()).toMatchObject({ complete: true, receivedBytes: patch.byteLength })
      expect(await library.bytes(patch.digest, 0, patch.byteLength)).toEqual(patch.bytes)
    })

    it('forgets a section that is wrong, and begins it again', async () => {
      const incoming = await library.receive(patch.head)
      const [first = new Uint8Array(), second = new Uint8Array()] = patch.sections
      await incoming.append(first)
      await incoming.append(second.subarray(0, 20))
      await expect(incoming.append(second.subarray(20).with(3, 1 ^ (second[23] ?? 0)))).rejects.toThrow(
        PatchFormatError,
      )
      expect(incoming.next()).toEqual({ section: 1, offset: 0 })
      await incoming.append(second.subarray(0, 30))
      await incoming.discardSection()
      expect(incoming.next()).toEqual({ section: 1, offset: 0 })
      await complete(incoming, patch)
      await incoming.finish()
      expect((await library.read(patch.digest)).deltas).toHaveLength(3)
    })

    it('takes up a patch where it was left', async () => {
      const incoming = await library.receive(patch.head)
      const [first = new Uint8Array(), second = new Uint8Array()] = patch.sections
      await incoming.append(first)
      await incoming.append(second.subarray(0, 17))
      await incoming.close()
      const again = await library.receive(patch.head)
      expect(again.next()).toEqual({ section: 1, offset: 17 })
      await complete(again, patch)
      expect(await again.finish()).toMatchObject({ complete: true })
    })

    it('receives no head that is changed, or whose author did not sign it', async () => {
      const spoilt = patch.head.with(patch.head.length - 1, 1 ^ (patch.head.at(-1) ?? 0))
      await expect(library.receive(spoilt)).rejects.toThrow(PatchFormatError)
      await expect(library.receive(patch.head.slice(0, 50))).rejects.toThrow(PatchFormatError)
      expect(await library.list()).toEqual([])
    })

    it('fetches a patch once at a time', async () => {
      const incoming = await library.receive(patch.head)
      await expect(library.receive(patch.head)).rejects.toMatchObject({ code: 'storage-failed' })
      await incoming.close()
    })

    it('holds patches by others within the quota, evicts none of them, and lets the owner’s in always', async () => {
      const large = await makePatch({ title: 'Large', entries: 6_000 })
      const larger = await makePatch({ title: 'Larger', entries: 6_000 })
      expect(large.byteLength).toBeGreaterThan(complianceQuotaBytes / 2)
      expect(large.byteLength).toBeLessThan(complianceQuotaBytes)
      await add(large, 'fetched')
      await expect(library.receive(larger.head)).rejects.toThrow(QuotaExceededError)
      await expect(add(larger, 'imported')).rejects.toThrow(QuotaExceededError)
      expect(await add(larger, 'mine')).toMatchObject({ complete: true })
      expect((await library.usage()).bytes).toBe(large.byteLength)
      expect((await library.list()).map(({ digest }) => digest).sort()).toEqual([large.digest, larger.digest].sort())
      await library.remove(large.digest)
      expect(await library.usage()).toMatchObject({ bytes: 0 })
    })

    it('counts a patch that is arriving as a whole', async () => {
      const large = await makePatch({ title: 'Large', entries: 6_000 })
      const larger = await makePatch({ title: 'Larger', entries: 6_000 })
      await (await library.receive(large.head)).close()
      await expect(library.receive(larger.head)).rejects.toThrow(QuotaExceededError)
    })

    it('reads values under a shared mask once the mask is here', async () => {
      const values = await makePatch({ title: 'Values', sharedMask: true })
      expect(values.header.maskDigest).toBe(patch.header.maskDigest)
      await add(values)
      await expect(library.read(values.digest)).rejects.toThrow(PatchNotFoundError)
      expect(await library.withMask(values.header.maskDigest ?? otherBase)).toBeNull()
      await add(patch)
      expect((await library.withMask(values.header.maskDigest ?? otherBase))?.digest).toBe(patch.digest)
      const content = await library.read(values.digest)
      expect(content.deltas[0]?.indices).toEqual((await library.read(patch.digest)).deltas[0]?.indices)
    })

    it('reads no byte outside of a patch', async () => {
      await add(patch)
      for (const [offset, length] of [
        [-1, 1],
        [0, patch.byteLength + 1],
        [patch.byteLength, 1],
        [0, -1],
        [0.5, 1],
        [0, Number.NaN],
      ] as const) {
        await expect(library.bytes(patch.digest, offset, length)).rejects.toThrow(RangeError)
      }
    })

    it('removes a patch with its tags, also while it arrives', async () => {
      await add(patch)
      await library.tag('sea', patch.digest)
      await library.remove(patch.digest)
      await expect(library.get('sea')).rejects.toThrow(PatchNotFoundError)
      await expect(library.remove(patch.digest)).rejects.toThrow(PatchNotFoundError)
      const incoming = await library.receive(patch.head)
      await library.remove(patch.digest)
      await expect(incoming.append(Uint8Array.of(1))).rejects.toThrow(PatchNotFoundError)
      await incoming.close()
      expect(await library.list()).toEqual([])
    })

    it('marks what is shared', async () => {
      await add(patch)
      expect(await library.setShared(patch.digest, true)).toMatchObject({ shared: true })
      expect(await library.setShared(patch.digest, false)).toMatchObject({ shared: false })
      await expect(library.setShared(digestSchema.parse('0'.repeat(64)), true)).rejects.toThrow(PatchNotFoundError)
    })

    it('knows whom the owner follows', async () => {
      await library.follow('12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp', 'Ahab')
      await library.follow('12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp', 'Captain')
      expect(await library.follows()).toEqual([
        { peerId: '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp', name: 'Captain' },
      ])
      await library.unfollow('12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp')
      expect(await library.follows()).toEqual([])
    })

    it('tells of every change', async () => {
      let changes = 0
      const stop = library.onChange(() => {
        changes += 1
      })
      const expectChange = async (work: () => Promise<unknown>) => {
        const before = changes
        await work()
        expect(changes).toBeGreaterThan(before)
      }
      await expectChange(() => add(patch))
      await expectChange(() => library.setShared(patch.digest, true))
      await expectChange(() => library.tag('sea', patch.digest))
      await expectChange(() => library.follow('12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp', ''))
      await expectChange(() => library.remove(patch.digest))
      stop()
      const before = changes
      await add(patch)
      expect(changes).toBe(before)
    })
  })
}
