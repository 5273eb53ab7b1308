/** Patches exchanged within one process, as the exchange over libp2p does it: members see what the others offer. */
import type { Digest } from '#contracts/digest.ts'
import { PeerLostError } from '#core/errors.ts'
import type { PatchExchange, PatchOffer, PatchSource } from '#core/ports/patch-exchange.ts'

interface Member {
  readonly peerId: string
  readonly listeners: Set<() => void>
  readonly liars: Set<string>
  source: PatchSource | null
  offered: readonly Omit<PatchOffer, 'holders'>[]
  alive: boolean
}

export interface InMemoryExchanges {
  create(peerId: string): PatchExchange
  /** It is gone without a word: what it offered stays known, and cannot be fetched. */
  kill(peerId: string): void
}

const pieceBytes = 64 * 1024

export function createInMemoryExchanges(): InMemoryExchanges {
  const members = new Map<string, Member>()

  function changed(): void {
    for (const { listeners } of members.values()) for (const listener of [...listeners]) queueMicrotask(listener)
  }

  async function refresh(member: Member): Promise<void> {
    member.offered = (await member.source?.offered()) ?? []
    changed()
  }

  function knownTo(self: Member, wanted: (offer: Omit<PatchOffer, 'holders'>) => boolean): PatchOffer[] {
    const found = new Map<string, PatchOffer>()
    for (const { peerId, offered } of members.values()) {
      if (peerId === self.peerId || self.liars.has(peerId)) continue
      for (const offer of offered.filter(wanted)) {
        const key = `${offer.digest} ${offer.baseDigest} ${offer.sizeBytes} ${offer.headBytes}`
        found.set(key, { ...offer, holders: [...(found.get(key)?.holders ?? []), peerId] })
      }
    }
    return [...found.values()]
  }

  function create(peerId: string): PatchExchange {
    const self: Member = { peerId, listeners: new Set(), liars: new Set(), source: null, offered: [], alive: true }
    members.set(peerId, self)

    async function* fetch(
      holder: string,
      { digest, offset, length }: { digest: Digest; offset: number; length: number },
      { signal }: { signal?: AbortSignal } = {},
    ): AsyncGenerator<Uint8Array, void, undefined> {
      for (let sent = 0; sent < length; ) {
        signal?.throwIfAborted()
        const member = members.get(holder)
        if (!member?.alive) throw new PeerLostError(holder, 'cannot be reached')
        const piece = await member.source?.bytes(digest, offset + sent, Math.min(pieceBytes, length - sent))
        if (piece == null) throw new PeerLostError(holder, 'unknown')
        sent += piece.length
        yield piece
      }
    }

    return {
      serve(source) {
        self.source = source
        void refresh(self)
      },
      offersChanged: () => void refresh(self),
      known: (base) => knownTo(self, ({ baseDigest }) => base === null || baseDigest === base),
      find(wanted, { enough, timeoutMs, signal }) {
        const known = () =>
          knownTo(self, (offer) =>
            'base' in wanted ? offer.baseDigest === wanted.base : offer.digest === wanted.patch,
          )
        return new Promise((resolve, reject) => {
          const stop = () => {
            clearTimeout(timer)
            self.listeners.delete(look)
            signal?.removeEventListener('abort', aborted)
          }
          const finish = () => {
            stop()
            resolve(known())
          }
          const look = () => {
            if (enough(known())) finish()
          }
          const aborted = () => {
            stop()
            reject(signal?.reason)
          }
          const timer = setTimeout(finish, timeoutMs)
          if (signal?.aborted) return aborted()
          signal?.addEventListener('abort', aborted, { once: true })
          self.listeners.add(look)
          look()
        })
      },
      fetch,
      reportLiar(liar) {
        self.liars.add(liar)
        changed()
      },
      onChange(listener) {
        self.listeners.add(listener)
        return () => void self.listeners.delete(listener)
      },
    }
  }

  return {
    create,
    kill(peerId) {
      const member = members.get(peerId)
      if (member) member.alive = false
    },
  }
}
