import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock as clock } from '#adapters/files/system-clock.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { createPatchInterop } from '#adapters/models/patch-interop.ts'
import { createPatchDesk, type RunningPatchDesk } from '#app/patches/create-patch-desk.ts'
import { type PatchFetchEvent, patchDetailSchema, patchDiffSchema, patchListSchema } from '#contracts/api/patches.ts'
import { PatchNotFoundError } from '#core/errors.ts'
import { createPatchFetcher } from '#core/exchange/patch-fetcher.ts'
import type { ModelStore } from '#core/ports/model-store.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'
import { exampleBase, signer } from '#test/contracts/patch-file/example-patches.ts'
import { createInMemoryExchanges, type InMemoryExchanges } from '#test/fakes/in-memory-patch-exchange.ts'
import { createInMemoryPatchLibrary } from '#test/fakes/in-memory-patch-library.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { makePatch, pieces } from '#test/helpers/make-patch.ts'

const verifier = createSignatureVerifier()
const patch = await makePatch()
const child = await makePatch({ title: 'Ships', parents: [patch.digest] })
const all = { model: null }

const model = randomModel(tinyConfig(), 1)
const models: ModelStore = {
  list: async () => [{ ...model.manifest, name: 'tiny', digest: exampleBase }],
  open: async () => model,
  import: async () => model.manifest,
}

let exchanges: InMemoryExchanges
let desks: RunningPatchDesk[]
let folder: string
beforeEach(() => {
  exchanges = createInMemoryExchanges()
  desks = []
  folder = mkdtempSync(join(tmpdir(), 'quiltbee-desk-'))
})
afterEach(() => {
  for (const desk of desks) desk.stop()
  rmSync(folder, { recursive: true })
})

function deskOf(
  peerId: string,
  options: { quotaBytes?: number } = {},
): { desk: RunningPatchDesk; library: PatchLibrary } {
  const exchange = exchanges.create(peerId)
  const library = createInMemoryPatchLibrary({ clock }, { quotaBytes: options.quotaBytes ?? 2 ** 24 })
  const desk = createPatchDesk({
    library,
    exchange,
    fetcher: createPatchFetcher({ exchange, library, verifier, clock }),
    models,
    interop: createPatchInterop({ directory: folder }),
    identity: signer,
    verifier,
    clock,
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    authorName: async () => 'Ishmael',
  })
  desk.start()
  desks.push(desk)
  return { desk, library }
}

async function collect(events: AsyncIterable<PatchFetchEvent>): Promise<readonly PatchFetchEvent[]> {
  const collected: PatchFetchEvent[] = []
  for await (const event of events) collected.push(event)
  return collected
}

const addMine = (library: PatchLibrary, made = patch) => library.add(pieces(made.bytes), { where: 'mine' })

describe('the patch desk', () => {
  it('shares a patch, which another finds, fetches and lists', async () => {
    const [author, reader] = [deskOf('author'), deskOf('reader')]
    await addMine(author.library)
    expect(await author.desk.share(patch.digest.slice(0, 8), true)).toMatchObject({ shared: true, where: 'mine' })
    expect(await reader.desk.search({ model: 'tiny', timeoutMs: 2_000 })).toEqual({ found: 1 })
    const list = patchListSchema.parse(await reader.desk.list(all))
    expect(list.patches).toMatchObject([
      { digest: patch.digest, where: 'seen', holders: 1, receivedBytes: 0, entries: 1_500, tensors: 3 },
    ])
    const events = await collect(reader.desk.fetch(patch.digest.slice(0, 10)))
    expect(events.at(-1)).toMatchObject({ type: 'done', patch: { where: 'fetched', shared: true } })
    expect(events.slice(0, -1).every(({ type }) => type === 'progress')).toBe(true)
    expect((await reader.desk.list(all)).patches).toMatchObject([{ where: 'fetched', receivedBytes: patch.byteLength }])
  })

  it('says how a fetch failed', async () => {
    const reader = deskOf('reader')
    expect(await collect(reader.desk.fetch('12345678'))).toMatchObject([{ type: 'error', code: 'patch-not-found' }])
    const author = deskOf('author')
    await addMine(author.library)
    await author.desk.share(patch.digest, true)
    const small = deskOf('small', { quotaBytes: 100 })
    await small.desk.search({ model: null, timeoutMs: 1_500 })
    const events = await collect(small.desk.fetch(patch.digest))
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'quota-exceeded' })
  })

  it('tells of every change, at most four times a second', async () => {
    const { desk, library } = deskOf('author')
    const stop = new AbortController()
    const lists = desk.watch(all, stop.signal)
    expect((await lists.next()).value?.patches).toEqual([])
    const startedAtMs = performance.now()
    await addMine(library)
    await desk.tag('sea', patch.digest)
    await desk.share('sea', true)
    expect((await lists.next()).value?.patches).toMatchObject([{ tags: ['sea'], shared: true }])
    expect(performance.now() - startedAtMs).toBeGreaterThan(200)
    stop.abort()
    expect((await lists.next()).done).toBe(true)
  })

  it('shows what a patch changes, what it stands on and what stands on it', async () => {
    const { desk, library } = deskOf('author')
    await addMine(library)
    await addMine(library, child)
    const parent = patchDetailSchema.parse(await desk.show(patch.digest))
    expect(parent.children).toEqual([child.digest])
    expect(parent.tensors).toHaveLength(3)
    const detail = await desk.show(child.digest)
    expect(detail.ancestors).toMatchObject([{ digest: patch.digest, depth: 1, summary: { digest: patch.digest } }])
    const diff = patchDiffSchema.parse(await desk.diff({ left: patch.digest, right: child.digest }))
    expect(diff).toMatchObject({ sameBase: true, overlap: 1 })
    await desk.remove(patch.digest)
    expect((await desk.show(child.digest)).ancestors).toMatchObject([{ digest: patch.digest, summary: null }])
    await expect(desk.show(patch.digest)).rejects.toThrow(PatchNotFoundError)
  })

  it('puts patches of authors the owner follows first', async () => {
    const { desk, library } = deskOf('author')
    await addMine(library)
    await addMine(library, child)
    await desk.follow({ peerId: signer.peerId, name: 'Ishmael', followed: true })
    const { patches, follows } = await desk.list({ model: 'tiny' })
    expect(patches.every(({ followed }) => followed)).toBe(true)
    expect(follows).toEqual([{ peerId: signer.peerId, name: 'Ishmael' }])
    await desk.follow({ peerId: signer.peerId, name: '', followed: false })
    expect((await desk.list(all)).patches.some(({ followed }) => followed)).toBe(false)
  })

  it('exports a patch as the file it is, and imports it elsewhere', async () => {
    const author = deskOf('author')
    await addMine(author.library)
    const path = join(folder, 'whales.patch')
    expect(await author.desk.export({ patch: patch.digest, path, format: 'patch' })).toMatchObject({
      bytes: patch.byteLength,
    })
    expect(new Uint8Array(await readFile(path))).toEqual(patch.bytes)
    const reader = deskOf('reader')
    expect(await reader.desk.import({ path, model: null, title: null })).toMatchObject({ where: 'imported' })
    writeFileSync(path, patch.bytes.slice(0, -1))
    await expect(reader.desk.import({ path, model: null, title: null })).rejects.toMatchObject({ code: 'patch-format' })
  })

  it('serves nothing that is not shared', async () => {
    const [author, reader] = [deskOf('author'), deskOf('reader')]
    await addMine(author.library)
    expect(await reader.desk.search({ model: null, timeoutMs: 300 })).toEqual({ found: 0 })
    await author.desk.share(patch.digest, true)
    await author.desk.share(patch.digest, false)
    const events = await collect(reader.desk.fetch(patch.digest.slice(0, 9)))
    expect(events).toMatchObject([{ type: 'error', code: 'patch-not-found' }])
  })
})
