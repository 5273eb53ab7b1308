/** Looking up on the DHT who has something, and asking them. */
import type { Connection } from '@libp2p/interface'
import { CID } from 'multiformats/cid'
import { create as createMultihash } from 'multiformats/hashes/digest'
import type { Digest } from '#contracts/digest.ts'
import type { Log } from './log.ts'
import type { SwarmNode } from './node.ts'

const rawCodec = 0x55
const sha256Code = 0x12
/** More than these are not looked up at once; their directories name the others. */
const maximumProviders = 20

/** CIDv1, raw, over the digest as a SHA-256 multihash. */
export function cidOfDigest(digest: Digest): CID {
  const bytes = Uint8Array.from(digest.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
  return CID.createV1(rawCodec, createMultihash(sha256Code, bytes))
}

/** Connects to those the DHT knows and hands each connection to `ask`. Without a DHT it does nothing; never throws. */
export async function askProviders(
  { node, log }: { readonly node: SwarmNode; readonly log: Log },
  cid: CID,
  ask: (connection: Connection) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  if (node.services.dht === undefined) return
  const connectAndAsk = async (id: Connection['remotePeer']) => {
    try {
      await ask(await node.dial(id, { signal }))
    } catch (error) {
      log.debug({ peerId: id.toString(), error }, 'a peer named by the DHT cannot be reached')
    }
  }
  const asked: Promise<void>[] = []
  try {
    for await (const provider of node.contentRouting.findProviders(cid, { signal })) {
      if (provider.id.equals(node.peerId)) continue
      if (provider.multiaddrs.length > 0) await node.peerStore.merge(provider.id, { multiaddrs: provider.multiaddrs })
      asked.push(connectAndAsk(provider.id))
      if (asked.length === maximumProviders) break
    }
  } catch (error) {
    if (!signal.aborted) log.debug({ cid: cid.toString(), error }, 'the DHT gave no answer')
  }
  await Promise.all(asked)
}

/** Resolves after the delay, or as soon as the signal is aborted. */
export function pause(delayMs: number, signal: AbortSignal): Promise<void> {
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
