import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'

const verifier = createSignatureVerifier()
const bytes = Uint8Array.of(1, 2, 3)

describe('a signature', () => {
  it('is good for its peer and its bytes only', async () => {
    const [mine, other] = [await createMemoryIdentity(), await createMemoryIdentity()]
    const signature = await mine.sign(bytes)
    expect(signature).toHaveLength(64)
    expect(await verifier.verify(mine.peerId, bytes, signature)).toBe(true)
    expect(await verifier.verify(other.peerId, bytes, signature)).toBe(false)
    expect(await verifier.verify(mine.peerId, Uint8Array.of(1, 2, 4), signature)).toBe(false)
    expect(await verifier.verify(mine.peerId, bytes, signature.subarray(1))).toBe(false)
    expect(await verifier.verify(mine.peerId, bytes, new Uint8Array(64))).toBe(false)
  })

  it('is bad under any other spelling of the peer’s id', async () => {
    const { peerId, privateKey, sign } = await createMemoryIdentity()
    const cid = peerIdFromPrivateKey(privateKey).toCID().toString()
    expect(await verifier.verify(cid, bytes, await sign(bytes))).toBe(false)
    expect(await verifier.verify(`z${peerId}`, bytes, await sign(bytes))).toBe(false)
  })

  it('of a key that is not Ed25519 is bad', async () => {
    const key = await generateKeyPair('secp256k1')
    const signature = (await key.sign(bytes)).subarray(0, 64)
    expect(await verifier.verify(peerIdFromPrivateKey(key).toString(), bytes, signature)).toBe(false)
  })

  it('is bad, not an error, for anything malformed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.uint8Array({ minLength: 60, maxLength: 68 }), async (peerId, signature) => {
        expect(await verifier.verify(peerId, bytes, signature)).toBe(false)
      }),
    )
    expect(await verifier.verify('1'.repeat(1_000_000), bytes, new Uint8Array(64))).toBe(false)
  })
})
