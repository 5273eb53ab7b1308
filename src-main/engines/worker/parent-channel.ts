/** The worker's end of the channel, whether it is a thread or a process. */
import { Socket } from 'node:net'
import { parentPort } from 'node:worker_threads'
import type { Channel } from './channel.ts'
import { channelDescriptor } from './child-process.ts'
import { startOrphanGuard } from './orphan-guard.ts'
import { postPacket } from './port-channel.ts'
import { createSocketChannel } from './socket-channel.ts'

/** A process leaves signals to its parent, and from here on does not outlive it. */
export function openParentChannel(): Channel {
  const port = parentPort
  if (port === null) return openProcessChannel()
  return {
    send: (packet) => postPacket(port, packet),
    listen({ onPacket, onEnd }) {
      port.on('message', onPacket)
      port.once('close', () => onEnd('its thread was told to end'))
    },
  }
}

function openProcessChannel(): Channel {
  // Ctrl-C, a closed terminal and a stopped service reach the whole group; the parent decides what follows.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  startOrphanGuard()
  return createSocketChannel(new Socket({ fd: channelDescriptor, readable: true, writable: true }))
}
