/**
 * Hosts of a model beyond the neighbours: the DHT maps a CID made of the model's digest to the peers that host it. Hosts
 * provide it, clients look it up and ask whom they find.
 */
import type { Connection } from '@libp2p/interface'
import { CID } from 'multiformats/cid'
import { create as createMultihash } from 'multiformats/hashes/digest'
import type { Digest } from '#contracts/digest.ts'
import type { Log } from './log.ts'
import type { SwarmNode } from './node.ts'

const rawCodec = 0x55
const sha256Code = 0x12
/** More hosts than this are not looked up at once; their directories name the others. */
const maximumProviders = 20

const provideAgainMs = 10 * 60_000
const retryProvideMs = 10_000

/** CIDv1, raw, over the digest as a SHA-256 multihash. */
export function cidOfModel(modelDigest: Digest): CID {
  const bytes = Uint8Array.from(modelDigest.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
  return CID.createV1(rawCodec, createMultihash(sha256Code, bytes))
}

export interface ModelSearch {
  /** Says on the DHT that this node hosts the model; null takes the last word back. Goes on by itself, never throws. */
  provide(modelDigest: Digest | null): void
  /** Connects to hosts the DHT knows and hands each connection to `ask`. Never throws. */
  search(modelDigest: Digest, ask: (connection: Connection) => Promise<void>, signal: AbortSignal): Promise<void>
  stop(): void
}

/** Without a DHT, both do nothing. */
export function createModelSearch(components: { readonly node: SwarmNode; readonly log: Log }): ModelSearch {
  const { node, log } = components
  let provided: { readonly modelDigest: Digest; readonly until: AbortController } | null = null

  async function announce(modelDigest: Digest, signal: AbortSignal): Promise<boolean> {
    try {
      await node.contentRouting.provide(cidOfModel(modelDigest), { signal })
      return true
    } catch (error) {
      if (!signal.aborted) log.debug({ modelDigest, error }, 'not provided on the DHT')
      return false
    }
  }

  /** Again now and then: the nodes closest to the key change while the swarm grows. */
  async function keepAnnouncing(modelDigest: Digest, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const told = await announce(modelDigest, signal)
      await pause(told ? provideAgainMs : retryProvideMs, signal)
    }
  }

  async function withdraw(modelDigest: Digest): Promise<void> {
    try {
      await node.contentRouting.cancelReprovide(cidOfModel(modelDigest))
    } catch (error) {
      log.debug({ modelDigest, error }, 'still provided on the DHT')
    }
  }

  async function connectAndAsk(
    id: Connection['remotePeer'],
    ask: (connection: Connection) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await ask(await node.dial(id, { signal }))
    } catch (error) {
      log.debug({ peerId: id.toString(), error }, 'a host named by the DHT cannot be reached')
    }
  }

  return {
    provide(modelDigest) {
      if (node.services.dht === undefined || provided?.modelDigest === modelDigest) return
      provided?.until.abort()
      if (provided !== null && node.status === 'started') void withdraw(provided.modelDigest)
      provided = modelDigest === null ? null : { modelDigest, until: new AbortController() }
      if (provided !== null) void keepAnnouncing(provided.modelDigest, provided.until.signal)
    },
    async search(modelDigest, ask, signal) {
      if (node.services.dht === undefined) return
      const asked: Promise<void>[] = []
      try {
        for await (const provider of node.contentRouting.findProviders(cidOfModel(modelDigest), { signal })) {
          if (provider.id.equals(node.peerId)) continue
          if (provider.multiaddrs.length > 0)
            await node.peerStore.merge(provider.id, { multiaddrs: provider.multiaddrs })
          asked.push(connectAndAsk(provider.id, ask, signal))
          if (asked.length === maximumProviders) break
        }
      } catch (error) {
        if (!signal.aborted) log.debug({ modelDigest, error }, 'the DHT gave no answer')
      }
      await Promise.all(asked)
    },
    stop() {
      provided?.until.abort()
    },
  }
}

/** Resolves after the delay, or as soon as the signal is aborted. */
function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const timer = setTimeout(finish, delayMs)
    timer.unref()
    signal.addEventListener('abort', finish, { once: true })
    if (signal.aborted) finish()
  })
}
