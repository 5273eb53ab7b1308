/** An Ed25519 key pair as this node's identity: its public half, in an identity multihash, is the peer id. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { Identity } from '#core/ports/keys.ts'

/** The port's identity, with the key itself for the transport that proves it to peers. */
export interface KeyedIdentity extends Identity {
  readonly privateKey: Ed25519PrivateKey
}

export function identityOf(privateKey: Ed25519PrivateKey): KeyedIdentity {
  return {
    peerId: peerIdFromPrivateKey(privateKey).toString(),
    privateKey,
    sign: async (bytes) => await privateKey.sign(bytes),
  }
}

/** An identity that lasts as long as the process: for a client that only asks once. */
export async function createMemoryIdentity(): Promise<KeyedIdentity> {
  return identityOf(await generateKeyPair('Ed25519'))
}
