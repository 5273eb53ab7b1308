/** Checks signatures of Ed25519 peers: the public key is inside the peer id, so nothing has to be looked up. */
import { peerIdFromString } from '@libp2p/peer-id'
import type { SignatureVerifier } from '#core/ports/keys.ts'

const maximumPeerIdLength = 128
const signatureBytes = 64

export function createSignatureVerifier(): SignatureVerifier {
  return {
    async verify(peerId, bytes, signature) {
      if (peerId.length > maximumPeerIdLength || signature.length !== signatureBytes) return false
      try {
        const id = peerIdFromString(peerId)
        // One peer has one name: the same key in another base or as a CID is not accepted.
        if (id.type !== 'Ed25519' || id.toString() !== peerId) return false
        return await id.publicKey.verify(bytes, signature)
      } catch {
        return false
      }
    },
  }
}
