/** A peer that speaks libp2p correctly and our protocols as badly as a test wants. */
import { multiaddr } from '@multiformats/multiaddr'
import { createFrameChannel, type FrameChannel } from '#adapters/libp2p/frame-channel.ts'
import type { SwarmNode } from '#adapters/libp2p/node.ts'
import { maximumControlBytes } from '#contracts/wire/frame.ts'
import {
  type ClientControl,
  decodeHostControl,
  encodeControl,
  type HostControl,
  inferenceProtocol,
} from '#contracts/wire/inference/messages.ts'
import { encodeTensor } from '#contracts/wire/inference/tensor.ts'
import type { Swarm } from '#core/ports/swarm.ts'
import { testModel } from './offers.ts'

export const patience = { waitMs: 5_000, frameMs: 5_000, timeoutMs: 5_000 }
export const rawHiddenSize = 4

export const rawOpen = (fields: Partial<Extract<ClientControl, { type: 'open' }>> = {}) =>
  encodeControl({
    type: 'open',
    sessionId: crypto.randomUUID(),
    modelDigest: testModel,
    span: { start: 0, end: 2 },
    maxLength: 64,
    hiddenSize: rawHiddenSize,
    ...fields,
  })

export async function rawStream(node: SwarmNode, target: Swarm, protocol: string) {
  const open = node.getConnections().find((connection) => connection.remotePeer.toString() === target.selfId)
  const connection = open ?? (await node.dial(multiaddr(target.addresses()[0])))
  return await connection.newStream(protocol, { maxOutboundStreams: 1_000 })
}

export async function rawChannel(node: SwarmNode, target: Swarm, protocol = inferenceProtocol): Promise<FrameChannel> {
  return createFrameChannel(await rawStream(node, target, protocol))
}

export function tensorParts(values: Float32Array, position: number): Uint8Array[] {
  const { header, payload } = encodeTensor({ position, tokens: values.length / rawHiddenSize, hidden: values })
  return [header, payload]
}

/** What the host says next; null when it closed. */
export async function hostSays(channel: FrameChannel): Promise<HostControl | null> {
  const body = await channel.read(maximumControlBytes, patience)
  return body === null ? null : decodeHostControl(body)
}

export async function untilClosed(channel: FrameChannel): Promise<void> {
  if (channel.closed.aborted) return
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the stream stayed open')), patience.waitMs)
    channel.closed.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
