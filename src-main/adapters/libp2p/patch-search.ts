/**
 * Holders of patches beyond the neighbours: the DHT maps a CID made of the patch's digest, and one made of its base's, to the
 * peers that have it, or any for that base.
 */
import type { Connection } from '@libp2p/interface'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { CID } from 'multiformats/cid'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import type { AnnouncedPatch } from '#contracts/wire/patches/announce.ts'
import { maxProvidedPatchKeys } from './limits.ts'
import type { Log } from './log.ts'
import type { SwarmNode } from './node.ts'
import { askProviders, cidOfDigest, pause } from './providers.ts'

const provideAgainMs = 30 * 60_000
const retryProvideMs = 10_000
/** A patch that was not offered for longer than a moment is worth no walk through the DHT. */
const settleMs = 500

/** Under which the DHT knows who has patches for a base; its own digest stands for who hosts it. */
export function keyOfBase(baseDigest: Digest): Digest {
  return digestSchema.parse(bytesToHex(sha256(new TextEncoder().encode(`quiltbee/patches-for/1\0${baseDigest}`))))
}

export interface PatchSearch {
  /** Says on the DHT what this node has: bases first, then the patches in their order. Goes on by itself, never throws. */
  provide(patches: readonly AnnouncedPatch[]): void
  /** Connects to peers the DHT knows and hands each connection to `ask`. Never throws. */
  search(key: Digest, ask: (connection: Connection) => Promise<void>, signal: AbortSignal): Promise<void>
  stop(): void
}

/** Without a DHT, both do nothing. */
export function createPatchSearch(components: { readonly node: SwarmNode; readonly log: Log }): PatchSearch {
  const { node, log } = components
  const told = new Map<Digest, number>()
  let until = new AbortController()

  async function announce(cid: CID, signal: AbortSignal): Promise<boolean> {
    try {
      await node.contentRouting.provide(cid, { signal })
      return true
    } catch (error) {
      if (!signal.aborted) log.debug({ cid: cid.toString(), error }, 'not provided on the DHT')
      return false
    }
  }

  /** One key after the other: what a walk costs is spread over time. */
  async function keepAnnouncing(keys: readonly Digest[], signal: AbortSignal): Promise<void> {
    await pause(settleMs, signal)
    while (!signal.aborted) {
      let allTold = true
      for (const key of keys) {
        if (signal.aborted) return
        if (performance.now() - (told.get(key) ?? Number.NEGATIVE_INFINITY) < provideAgainMs) continue
        if (await announce(cidOfDigest(key), signal)) told.set(key, performance.now())
        else allTold = false
      }
      await pause(allTold ? provideAgainMs : retryProvideMs, signal)
    }
  }

  async function withdraw(key: Digest): Promise<void> {
    told.delete(key)
    try {
      await node.contentRouting.cancelReprovide(cidOfDigest(key))
    } catch (error) {
      log.debug({ key, error }, 'still provided on the DHT')
    }
  }

  return {
    provide(patches) {
      if (node.services.dht === undefined) return
      until.abort()
      until = new AbortController()
      const bases = new Set(patches.map(({ baseDigest }) => keyOfBase(baseDigest)))
      const keys = [...bases, ...patches.map(({ digest }) => digest)].slice(0, maxProvidedPatchKeys)
      const gone = [...told.keys()].filter((key) => !keys.includes(key))
      if (node.status === 'started') for (const key of gone) void withdraw(key)
      if (keys.length > 0) void keepAnnouncing(keys, until.signal)
    },
    search: (key, ask, signal) => askProviders({ node, log }, cidOfDigest(key), ask, signal),
    stop: () => until.abort(),
  }
}
