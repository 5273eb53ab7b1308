/** This node's identity: an Ed25519 key whose public half is the node's peer id. */
export interface Identity {
  readonly peerId: string
  sign(bytes: Uint8Array): Promise<Uint8Array> // (64,)
}

/** Checks what others signed; the public key is read out of the peer id. False for anything malformed. */
export interface SignatureVerifier {
  verify(peerId: string, bytes: Uint8Array, signature: Uint8Array): Promise<boolean>
}
