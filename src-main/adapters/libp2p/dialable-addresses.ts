import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'

/** Only addresses that name the peer, or no peer: dialling them reaches it or nobody. */
export function dialableAddresses(addresses: readonly string[], peerId: string): Multiaddr[] {
  return addresses.flatMap((address) => {
    try {
      const parsed = multiaddr(address)
      const named = parsed.getComponents().find((component) => component.name === 'p2p')?.value
      if (named === undefined) return [parsed.encapsulate(`/p2p/${peerId}`)]
      return named === peerId ? [parsed] : []
    } catch {
      return []
    }
  })
}
