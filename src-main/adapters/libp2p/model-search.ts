/**
 * Hosts of a model beyond the neighbours: the DHT maps a CID made of the model's digest to the peers that host it. Hosts
 * provide it, clients look it up and ask whom they find.
 */
import type { Connection } from '@libp2p/interface'
import type { CID } from 'multiformats/cid'
import type { Digest } from '#contracts/digest.ts'
import type { Log } from './log.ts'
import type { SwarmNode } from './node.ts'
import { askProviders, cidOfDigest, pause } from './providers.ts'

const provideAgainMs = 10 * 60_000
const retryProvideMs = 10_000

export function cidOfModel(modelDigest: Digest): CID {
  return cidOfDigest(modelDigest)
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

  return {
    provide(modelDigest) {
      if (node.services.dht === undefined || provided?.modelDigest === modelDigest) return
      provided?.until.abort()
      if (provided !== null && node.status === 'started') void withdraw(provided.modelDigest)
      provided = modelDigest === null ? null : { modelDigest, until: new AbortController() }
      if (provided !== null) void keepAnnouncing(provided.modelDigest, provided.until.signal)
    },
    search: (modelDigest, ask, signal) => askProviders({ node, log }, cidOfModel(modelDigest), ask, signal),
    stop() {
      provided?.until.abort()
    },
  }
}
