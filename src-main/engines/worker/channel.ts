/** What client and worker speak through, whatever carries it. Packets arrive whole and in the order they were sent. */

export type WireArray = Float32Array | Uint32Array

/** `head` is plain data (numbers may be NaN or infinite); `arrays` go beside it because they are most of the bytes. */
export interface Packet {
  readonly head: unknown
  readonly arrays: readonly WireArray[]
}

export interface ChannelListener {
  /** The arrays are the listener's own. */
  onPacket(packet: Packet): void
  /** Nothing will come any more. Called once. */
  onEnd(why: string): void
}

export interface Channel {
  /** The arrays are the sender's again once they are answered. After the end it does nothing. */
  send(packet: Packet): void
  /** To be called once. Of a worker, before the event loop's next turn. */
  listen(listener: ChannelListener): void
}

/** Both are idempotent, and do nothing once the worker has ended. */
export interface Suspender {
  /** Holds the worker still: it computes nothing, hears nothing and answers nothing until `resume`. */
  suspend(): void
  resume(): void
}

/** A worker as its client sees it. The channel's end is the worker's end. */
export interface ComputeProcess extends Channel {
  /** Null for a thread. */
  readonly pid: number | null
  /** Null for one that cannot be held still. */
  readonly suspender: Suspender | null
  /** Ends it now, also when it is held still; `onEnd` follows. Idempotent. */
  kill(): void
}
