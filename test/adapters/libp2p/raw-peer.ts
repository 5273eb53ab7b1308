/** A peer that speaks libp2p correctly and our protocols as badly as a test wants. */
import type { Connection } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
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
import { testModel } from './offers.ts'

export const patience = { waitMs: 5_000, frameMs: 5_000, timeoutMs: 5_000 }
export const rawHiddenSize = 4

/** Whom to talk to: anything with addresses. */
export interface Target {
  addresses(): readonly string[]
}

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

export function addressOf(target: Target): Multiaddr {
  return multiaddr(target.addresses()[0])
}

/** Tries again for a while: all peers of a test share one address, and with it one allowance of connections a second. */
async function connected(node: SwarmNode, target: Target, attempts = 20): Promise<Connection> {
  try {
    return await node.dial(addressOf(target))
  } catch (error) {
    if (attempts === 0) throw error
    await new Promise((resolve) => setTimeout(resolve, 100))
    return await connected(node, target, attempts - 1)
  }
}

export async function rawStream(node: SwarmNode, target: Target, protocol: string) {
  const connection = await connected(node, target)
  return await connection.newStream(protocol, { maxOutboundStreams: 1_000 })
}

export async function rawChannel(node: SwarmNode, target: Target, protocol = inferenceProtocol): Promise<FrameChannel> {
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
