/** What every `PatchExchange` promises, run on the libp2p adapter and on the in-memory fake alike. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import { PeerLostError } from '#core/errors.ts'
import type { PatchExchange, PatchOffer, PatchSource } from '#core/ports/patch-exchange.ts'

export interface ExchangeMember {
  readonly peerId: string
  readonly exchange: PatchExchange
}

export interface PatchExchangeHarness {
  /** A started member that reaches, and is reached by, the others made here. */
  join(): Promise<ExchangeMember>
  /** As `kill -9` would: no goodbye to anybody. */
  kill(member: ExchangeMember): Promise<void>
  dispose(): Promise<void>
}

const base = digestSchema.parse('ab'.repeat(32))
const otherBase = digestSchema.parse('cd'.repeat(32))
const patchOf = (number: number) => digestSchema.parse(number.toString(16).padStart(64, '0'))
const sizeBytes = 200_000
const byteAt = (offset: number) => (offset * 31 + (offset >> 8)) & 255

/** Patches whose bytes follow from their places. */
function sourceOf(digests: readonly Digest[], baseDigest = base): PatchSource & { digests: readonly Digest[] } {
  return {
    digests,
    async offered() {
      return this.digests.map((digest) => ({ digest, baseDigest, sizeBytes, headBytes: 500 }))
    },
    async bytes(digest, offset, length) {
      if (!this.digests.includes(digest) || offset + length > sizeBytes) return null
      return Uint8Array.from({ length }, (_, index) => byteAt(offset + index))
    },
  }
}

export function describePatchExchange(name: string, createHarness: () => Promise<PatchExchangeHarness>): void {
  describe(`${name}, as a patch exchange`, () => {
    let harness: PatchExchangeHarness
    let holder: ExchangeMember
    let client: ExchangeMember

    beforeEach(async () => {
      harness = await createHarness()
      holder = await harness.join()
      client = await harness.join()
    })
    afterEach(() => harness.dispose())

    const find = (wanted: { base: Digest } | { patch: Digest }, holders = 1, timeoutMs = 8_000) =>
      client.exchange.find(wanted, {
        enough: (offers: readonly PatchOffer[]) => offers.some((offer) => offer.holders.length >= holders),
        timeoutMs,
      })

    async function fetchAll(from: ExchangeMember, digest: Digest, offset: number, length: number) {
      const received: Uint8Array[] = []
      for await (const piece of client.exchange.fetch(from.peerId, { digest, offset, length })) received.push(piece)
      return received
    }

    it('finds what another offers, by base and by patch, and nothing else', async () => {
      holder.exchange.serve(sourceOf([patchOf(1)]))
      const offer = { digest: patchOf(1), baseDigest: base, sizeBytes, headBytes: 500, holders: [holder.peerId] }
      expect(await find({ base })).toEqual([offer])
      expect(await find({ patch: patchOf(1) })).toEqual([offer])
      expect(client.exchange.known(null)).toEqual([offer])
      expect(client.exchange.known(otherBase)).toEqual([])
      expect(await find({ patch: patchOf(2) }, 1, 300)).toEqual([])
      expect(holder.exchange.known(null)).toEqual([])
    })

    it('knows all holders of a patch', async () => {
      const other = await harness.join()
      holder.exchange.serve(sourceOf([patchOf(1)]))
      other.exchange.serve(sourceOf([patchOf(1)]))
      const [offer] = await find({ base }, 2)
      expect([...(offer?.holders ?? [])].sort()).toEqual([holder.peerId, other.peerId].sort())
    })

    it('hears of what is offered later, and of what is offered no longer', async () => {
      const source = sourceOf([])
      holder.exchange.serve(source)
      source.digests = [patchOf(1)]
      holder.exchange.offersChanged()
      await find({ base })
      let changes = 0
      const stop = client.exchange.onChange(() => {
        changes += 1
      })
      source.digests = []
      holder.exchange.offersChanged()
      await expect.poll(() => client.exchange.known(null), { timeout: 8_000 }).toEqual([])
      await expect.poll(() => changes, { timeout: 2_000 }).toBeGreaterThan(0)
      stop()
    })

    it('fetches exactly the bytes asked for, in pieces', async () => {
      holder.exchange.serve(sourceOf([patchOf(1)]))
      await find({ base })
      for (const [offset, length] of [
        [0, sizeBytes],
        [17, 1],
        [100_000, 70_000],
      ] as const) {
        const received = await fetchAll(holder, patchOf(1), offset, length)
        for (const piece of received) expect(piece.length).toBeLessThanOrEqual(64 * 1024)
        const expected = Buffer.from(Uint8Array.from({ length }, (_, index) => byteAt(offset + index)))
        expect(Buffer.concat(received).equals(expected)).toBe(true)
      }
    })

    it('says that the peer is lost when it has not got the patch, or not so much of it', async () => {
      holder.exchange.serve(sourceOf([patchOf(1)]))
      await find({ base })
      await expect(fetchAll(holder, patchOf(2), 0, 10)).rejects.toThrow(PeerLostError)
      await expect(fetchAll(holder, patchOf(1), sizeBytes - 5, 10)).rejects.toThrow(PeerLostError)
    })

    it('says that the peer is lost when it is gone', async () => {
      holder.exchange.serve(sourceOf([patchOf(1)]))
      await find({ base })
      await harness.kill(holder)
      await expect(fetchAll(holder, patchOf(1), 0, 10)).rejects.toThrow(PeerLostError)
    })

    it('stops with the signal’s reason', async () => {
      holder.exchange.serve(sourceOf([patchOf(1)]))
      await find({ base })
      const stop = new AbortController()
      const range = { digest: patchOf(1), offset: 0, length: sizeBytes }
      const fetching = (async () => {
        for await (const _ of client.exchange.fetch(holder.peerId, range, { signal: stop.signal })) {
          stop.abort(new Error('enough'))
        }
      })()
      await expect(fetching).rejects.toThrow('enough')
      const searching = client.exchange.find(
        { patch: patchOf(7) },
        { enough: () => false, timeoutMs: 8_000, signal: stop.signal },
      )
      await expect(searching).rejects.toThrow('enough')
    })

    it('leaves a fetch that its reader has had enough of, and starts another', async () => {
      holder.exchange.serve(sourceOf([patchOf(1)]))
      await find({ base })
      for (let count = 0; count < 10; count += 1) {
        const range = { digest: patchOf(1), offset: 0, length: sizeBytes }
        for await (const piece of client.exchange.fetch(holder.peerId, range)) {
          expect(piece.length).toBeGreaterThan(0)
          break
        }
      }
      expect(Buffer.concat(await fetchAll(holder, patchOf(1), 0, 1_000))).toHaveLength(1_000)
    })

    it('serves nothing any more once it is told so', async () => {
      holder.exchange.serve(sourceOf([patchOf(1)]))
      await find({ base })
      holder.exchange.serve(null)
      await expect(fetchAll(holder, patchOf(1), 0, 10)).rejects.toThrow(PeerLostError)
    })

    it('hears a liar no more', async () => {
      holder.exchange.serve(sourceOf([patchOf(1)]))
      await find({ base })
      client.exchange.reportLiar(holder.peerId)
      expect(client.exchange.known(null)).toEqual([])
      expect(await find({ base }, 1, 1_500)).toEqual([])
    })
  })
}
