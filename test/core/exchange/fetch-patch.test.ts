import { beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { createPatchSource } from '#app/patches/patch-source.ts'
import { digestSchema } from '#contracts/digest.ts'
import { WrongBaseError } from '#contracts/patch-file/errors.ts'
import { PatchUnavailableError, PeerLostError, QuotaExceededError } from '#core/errors.ts'
import { fetchHeads } from '#core/exchange/fetch-head.ts'
import { type FetchEvent, type FetchOptions, fetchPatch } from '#core/exchange/fetch-patch.ts'
import { createPatchFetcher } from '#core/exchange/patch-fetcher.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { PatchExchange, PatchSource } from '#core/ports/patch-exchange.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'
import { exampleBase } from '#test/contracts/patch-file/example-patches.ts'
import { createInMemoryExchanges, type InMemoryExchanges } from '#test/fakes/in-memory-patch-exchange.ts'
import { createInMemoryPatchLibrary } from '#test/fakes/in-memory-patch-library.ts'
import { type MadePatch, makePatch, pieces } from '#test/helpers/make-patch.ts'

const verifier = createSignatureVerifier()
const clock: Clock = systemClock
const patch = await makePatch({ tensors: 4, entries: 6_000 })
const lastSectionAt = patch.byteLength - (patch.sections.at(-1)?.length ?? 0)

let exchanges: InMemoryExchanges
let library: PatchLibrary
let exchange: PatchExchange
let events: FetchEvent[]

beforeEach(() => {
  exchanges = createInMemoryExchanges()
  library = createInMemoryPatchLibrary({ clock }, { quotaBytes: 2 ** 24 })
  exchange = exchanges.create('client')
  events = []
})

/** Somebody who has the patches, and serves their bytes as `serve` has it. */
async function holder(
  peerId: string,
  serve: (bytes: PatchSource['bytes']) => PatchSource['bytes'] = (bytes) => bytes,
  patches: readonly MadePatch[] = [patch],
): Promise<void> {
  const own = createInMemoryPatchLibrary({ clock }, { quotaBytes: 2 ** 24 })
  for (const made of patches) {
    await own.add(pieces(made.bytes), { where: 'mine' })
    await own.setShared(made.digest, true)
  }
  const source = createPatchSource(own)
  exchanges.create(peerId).serve({ offered: source.offered, bytes: serve(source.bytes) })
  await expect.poll(() => exchange.known(null).some(({ holders }) => holders.includes(peerId))).toBe(true)
}

const spoiltFrom =
  (from: number) =>
  (bytes: PatchSource['bytes']): PatchSource['bytes'] =>
  async (digest, offset, length) =>
    (await bytes(digest, offset, length))?.map((byte, index) => (offset + index >= from ? byte ^ 1 : byte)) ?? null

/** Breaks off at a place, every time it is asked for what lies behind it. */
const untilByte =
  (end: number) =>
  (bytes: PatchSource['bytes']): PatchSource['bytes'] =>
  async (digest, offset, length) =>
    offset >= end ? null : await bytes(digest, offset, Math.min(length, end - offset))

const fetch = (options: FetchOptions = {}) =>
  fetchPatch({ exchange, library, verifier, clock }, patch.digest, {
    searchMs: 300,
    onEvent: (event) => events.push(event),
    ...options,
  })
const dropped = () => events.flatMap((event) => (event.type === 'dropped' ? [event.peerId] : []))
const known = () => exchange.known(null).flatMap(({ holders }) => holders)

describe('fetching a patch', () => {
  it('brings all of it, checked, and tells how far it is', async () => {
    await holder('a')
    expect(await fetch({ base: exampleBase })).toMatchObject({ complete: true, where: 'fetched' })
    expect(await library.bytes(patch.digest, 0, patch.byteLength)).toEqual(patch.bytes)
    expect(events.at(0)).toMatchObject({ type: 'progress', receivedBytes: patch.head.length })
    expect(events.at(-1)).toMatchObject({ type: 'progress', receivedBytes: patch.byteLength, peerId: 'a' })
  })

  it('that is here already asks nobody', async () => {
    await library.add(pieces(patch.bytes), { where: 'mine' })
    expect(await fetch()).toMatchObject({ where: 'mine' })
    expect(events).toEqual([])
  })

  it('that nobody has says so, after a look', async () => {
    await expect(fetch()).rejects.toThrow(PatchUnavailableError)
  })

  it.each([
    ['in its head', 20],
    ['in its last section', lastSectionAt + 5],
  ])('leaves a peer that lies %s, and is done with another', async (_, from) => {
    await holder('liar', spoiltFrom(from))
    await holder('honest')
    await fetch()
    expect(dropped()).toEqual(['liar'])
    expect(known()).toEqual(['honest'])
    expect(await library.bytes(patch.digest, 0, patch.byteLength)).toEqual(patch.bytes)
  })

  it('takes the word of no peer that announces another size or base', async () => {
    exchanges.create('boaster').serve({
      offered: async () => [
        { digest: patch.digest, baseDigest: exampleBase, sizeBytes: 7_000_000, headBytes: patch.head.length },
      ],
      bytes: async (_, offset, length) => patch.bytes.slice(offset, offset + length),
    })
    await expect.poll(known).toEqual(['boaster'])
    await holder('honest')
    await fetch()
    expect(dropped()).toEqual(['boaster'])
  })

  it('accuses nobody when two had a part in a wrong section, and takes it from one alone', async () => {
    // It breaks off before its section is whole: whoever goes on behind it looks as guilty.
    const end = lastSectionAt + 2_000
    await holder('liar', (bytes) => async (digest, offset, length) => {
      if (offset >= end) return null
      const own = await bytes(digest, offset, Math.min(length, end - offset))
      return own?.map((byte, index) => (offset + index === lastSectionAt + 7 ? byte ^ 1 : byte)) ?? null
    })
    const begun: number[] = []
    await holder('honest', (bytes) => async (digest, offset, length) => {
      begun.push(offset)
      return await bytes(digest, offset, length)
    })
    await fetch()
    expect(await library.bytes(patch.digest, 0, patch.byteLength)).toEqual(patch.bytes)
    expect(begun).toEqual([end, lastSectionAt])
    expect(known()).toEqual(['liar', 'honest'])
  })

  it('goes on with another peer where one broke off', async () => {
    await holder('short', untilByte(lastSectionAt + 100))
    await holder('long')
    await fetch()
    expect(dropped()).toContain('short')
    expect(known()).toContain('short')
  })

  it('goes on where an earlier one stopped', async () => {
    await holder('short', untilByte(lastSectionAt + 100))
    await expect(fetch()).rejects.toThrow(PatchUnavailableError)
    events.length = 0
    await holder('long')
    await fetch()
    expect(events[0]).toMatchObject({ type: 'progress', receivedBytes: lastSectionAt + 100 })
  })

  it('asks a peer that fails three times, and no more', async () => {
    let asked = 0
    await holder('failing', () => async () => {
      asked += 1
      return null
    })
    await expect(fetch()).rejects.toThrow(PatchUnavailableError)
    expect(asked).toBe(3)
  })

  it('is patient with a peer that is busy', async () => {
    await holder('a')
    const real = exchange.fetch
    let refusals = 1
    exchange = {
      ...exchange,
      fetch: (peerId, range, options) => {
        if (refusals-- > 0) throw new PeerLostError(peerId, 'busy')
        return real(peerId, range, options)
      },
    }
    expect(await fetch()).toMatchObject({ complete: true })
    expect(dropped()).toEqual([])
  })

  it('leaves a peer that is too slow when there is another', async () => {
    let now = 0
    const slowClock: Clock = { now: () => now, monotonicMs: () => now }
    await holder('slow', (bytes) => async (digest, offset, length) => {
      now += offset >= patch.head.length ? 5_000 : 0
      return await bytes(digest, offset, Math.min(length, 1_000))
    })
    await holder('fast')
    await fetchPatch({ exchange, library, verifier, clock: slowClock }, patch.digest, {
      searchMs: 300,
      onEvent: (event) => events.push(event),
    })
    expect(dropped()).toEqual(['slow'])
  })

  it('for another base, or larger than wanted, ends before any section', async () => {
    await holder('a')
    const otherBase = digestSchema.parse('00'.repeat(32))
    await expect(fetch({ base: otherBase })).rejects.toThrow(WrongBaseError)
    await expect(fetch({ maximumBytes: patch.byteLength - 1 })).rejects.toThrow(QuotaExceededError)
    expect(await library.list()).toEqual([])
  })

  it('stops with the signal’s reason, and keeps what arrived', async () => {
    await holder('a')
    const stop = new AbortController()
    const options = {
      signal: stop.signal,
      onEvent: (event: FetchEvent) => {
        if (event.type === 'progress' && event.peerId !== null) stop.abort(new Error('enough'))
      },
    }
    await expect(fetch(options)).rejects.toThrow('enough')
    expect((await library.get(patch.digest)).receivedBytes).toBeGreaterThan(patch.head.length)
    expect(await fetch()).toMatchObject({ complete: true })
  })
})

describe('the fetcher', () => {
  it('fetches once for all who want a patch, offers it then, and stops when nobody wants it', async () => {
    await holder('a')
    const fetcher = createPatchFetcher({ exchange, library, verifier, clock })
    const leaving = new AbortController()
    const first = fetcher.fetch(patch.digest, { signal: leaving.signal })
    const second = fetcher.fetch(patch.digest, { base: exampleBase })
    leaving.abort(new Error('changed my mind'))
    await expect(first).rejects.toThrow('changed my mind')
    expect(await second).toMatchObject({ complete: true, shared: true })
  })

  it('holds whoever joins to their own limits', async () => {
    await holder('a')
    const fetcher = createPatchFetcher({ exchange, library, verifier, clock })
    const first = fetcher.fetch(patch.digest)
    await expect(fetcher.fetch(patch.digest, { maximumBytes: 10 })).rejects.toThrow(QuotaExceededError)
    await first
  })

  it('begins anew right after a fetch was given up', async () => {
    await holder('a')
    const fetcher = createPatchFetcher({ exchange, library, verifier, clock })
    const leaving = new AbortController()
    const first = fetcher.fetch(patch.digest, { signal: leaving.signal, onEvent: () => leaving.abort() })
    await expect(first).rejects.toThrow()
    expect(await fetcher.fetch(patch.digest)).toMatchObject({ complete: true })
  })
})

describe('fetching heads for a list', () => {
  it('brings those of honest peers, leaves out what is too long or wrong, and reports liars', async () => {
    const other = await makePatch({ title: 'Ships' })
    await holder('honest', undefined, [other])
    await holder('liar', spoiltFrom(20))
    const titles: string[] = []
    const onHead = ({ head }: { head: { header: { title: string } } }) => void titles.push(head.header.title)
    await fetchHeads({ exchange, verifier }, exchange.known(null), { onHead })
    expect(titles).toEqual(['Ships'])
    expect(known()).toEqual(['honest'])
    await fetchHeads({ exchange, verifier }, exchange.known(null), { onHead, maximumHeadBytes: 100 })
    expect(titles).toHaveLength(1)
  })
})
