/** Where a node listens and how it finds others, from what the owner asked for. */
import { multiaddr } from '@multiformats/multiaddr'
import { InvalidInputError } from '#contracts/errors.ts'

export interface NetworkOptions {
  readonly listen: readonly string[]
  readonly bootstrap: readonly string[]
  readonly mdns: boolean
  readonly dht: boolean
}

const everywhere = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0']

/**
 * A node that listens on loopback only has nothing to say to the LAN, so mDNS is off for it; a node that was told whom to
 * ask (bootstrap) still answers its neighbours. Throws `InvalidInputError` for an address that is none.
 */
export function networkOptions(init: {
  readonly listen?: readonly string[]
  readonly bootstrap?: readonly string[]
  readonly mdns?: boolean
}): NetworkOptions {
  for (const name of ['listen', 'bootstrap'] as const) checkAddresses(name, init[name] ?? [])
  const listen = init.listen === undefined || init.listen.length === 0 ? everywhere : init.listen
  const loopbackOnly = listen.every((address) => /^\/ip4\/127\.|^\/ip6\/::1\//.test(address))
  return { listen, bootstrap: init.bootstrap ?? [], mdns: (init.mdns ?? true) && !loopbackOnly, dht: true }
}

function checkAddresses(name: string, addresses: readonly string[]): void {
  for (const address of addresses) {
    try {
      multiaddr(address)
    } catch (cause) {
      throw new InvalidInputError(name, `${address} is not a multiaddr such as /ip4/127.0.0.1/tcp/4001`, { cause })
    }
  }
}
