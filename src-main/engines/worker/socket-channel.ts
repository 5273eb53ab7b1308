/** Packets over a socket: what joins a process and its child. */
import type { Socket } from 'node:net'
import type { Channel } from './channel.ts'
import { createFrameDecoder, encodeFrame } from './frames.ts'

/** Why a channel ended that was simply closed. */
export const closedConnection = 'closed its connection'

/** Bytes that are not frames end the channel: whatever follows them could not be trusted either. */
export function createSocketChannel(socket: Socket): Channel {
  return {
    send(packet) {
      if (!socket.writable) return
      socket.cork()
      for (const bytes of encodeFrame(packet)) socket.write(bytes)
      socket.uncork()
    },
    listen({ onPacket, onEnd }) {
      const decode = createFrameDecoder()
      let why = closedConnection
      socket.on('data', (chunk: Uint8Array) => {
        const packets = readable(() => decode(chunk))
        if (packets === null) {
          why = 'sent what cannot be read'
          socket.destroy()
        } else packets.forEach(onPacket)
      })
      // What the error was does not matter: the close that follows does.
      socket.on('error', () => {})
      socket.once('close', () => onEnd(why))
    },
  }
}

function readable<T>(decode: () => T): T | null {
  try {
    return decode()
  } catch {
    return null
  }
}
