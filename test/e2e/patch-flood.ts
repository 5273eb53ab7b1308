/** A neighbour that announces patches nobody has, in the names of many holders, as fast as it can. */
import { multiaddr } from '@multiformats/multiaddr'
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { defaultTimeouts } from '#adapters/libp2p/limits.ts'
import { createSwarmNode } from '#adapters/libp2p/node.ts'
import { digestSchema } from '#contracts/digest.ts'
import {
  announcementSigningBytes,
  encodeAnnouncement,
  encodeSignedAnnouncement,
  maximumAnnouncedPatches,
  patchAnnounceProtocol,
} from '#contracts/wire/patches/announce.ts'
import { exampleBase } from '#test/contracts/patch-file/example-patches.ts'

export interface Flood {
  /** Patches and holders announced in all. */
  readonly claims: number
  /** Resolves when all has been sent. */
  readonly done: Promise<void>
  stop(): Promise<void>
}

export async function announceFlood(
  victim: readonly string[],
  init: { readonly announcements: number; readonly holders: number },
): Promise<Flood> {
  const { privateKey } = await createMemoryIdentity()
  const options = { listen: [], mdns: false, dht: false, timeouts: defaultTimeouts }
  const node = await createSwarmNode({ ...options, privateKey })
  await node.start()
  node.services.gossip.subscribe(patchAnnounceProtocol)
  await node.dial(multiaddr(victim[0]))
  while (node.services.gossip.getSubscribers(patchAnnounceProtocol).length === 0) await pause(20)
  const holders = await Promise.all(Array.from({ length: init.holders }, createMemoryIdentity))

  async function send(): Promise<void> {
    for (let number = 0; number < init.announcements; number += 1) {
      const holder = holders[number % holders.length]
      if (holder === undefined) return
      const payload = encodeAnnouncement({
        version: 1,
        peerId: holder.peerId,
        addresses: [],
        offered: Array.from({ length: maximumAnnouncedPatches }, () => ({
          digest: digestSchema.parse(Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex')),
          baseDigest: exampleBase,
          sizeBytes: 1_000,
          headBytes: 500,
        })),
        withdrawn: [],
        sequence: number + 1,
        lifetimeMs: 600_000,
      })
      const signed = encodeSignedAnnouncement(payload, await holder.sign(announcementSigningBytes(payload)))
      await node.services.gossip.publish(patchAnnounceProtocol, signed).catch(() => undefined)
      if (number % 20 === 0) await pause(5)
    }
    await pause(500)
  }

  return {
    claims: init.announcements * maximumAnnouncedPatches,
    done: send(),
    stop: async () => void (await node.stop()),
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}
