import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IdentityFileError, identityFileName, loadOrCreateIdentity } from '#adapters/keys/identity-file.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quiltbee-keys-'))
})
afterEach(async () => {
  await rm(directory, { recursive: true })
})

const bytes = new TextEncoder().encode('something said')

describe('the identity file', () => {
  it('is made once, for its owner only, and gives the same peer afterwards', async () => {
    const home = join(directory, 'new', 'home')
    const first = await loadOrCreateIdentity(home)
    const second = await loadOrCreateIdentity(home)
    expect(second.peerId).toBe(first.peerId)
    expect(first.peerId).toMatch(/^12D3KooW/)
    expect(await readdir(home)).toEqual([identityFileName])
    if (process.platform !== 'win32') expect((await stat(join(home, identityFileName))).mode & 0o777).toBe(0o600)
    expect(await createSignatureVerifier().verify(first.peerId, bytes, await second.sign(bytes))).toBe(true)
  })

  it.each<[string, () => Promise<Uint8Array>]>([
    ['is empty', async () => new Uint8Array()],
    ['was cut short', async () => privateKeyToProtobuf(await generateKeyPair('Ed25519')).subarray(0, 40)],
    ['has random bytes', async () => crypto.getRandomValues(new Uint8Array(68))],
    ['is huge', async () => new Uint8Array(1_000_000)],
    ['holds a key of another kind', async () => privateKeyToProtobuf(await generateKeyPair('secp256k1'))],
    [
      'has halves that do not match',
      async () => {
        const key = privateKeyToProtobuf(await generateKeyPair('Ed25519'))
        key[67] = (key[67] ?? 0) ^ 1
        return key
      },
    ],
  ])('that %s is refused by name and left alone', async (_, content) => {
    const path = join(directory, identityFileName)
    const before = await content()
    await writeFile(path, before)
    const failure = loadOrCreateIdentity(directory)
    await expect(failure).rejects.toBeInstanceOf(IdentityFileError)
    await expect(failure).rejects.toThrow(path)
    expect(new Uint8Array(await readFile(path))).toEqual(new Uint8Array(before))
  })

  it('that cannot be written is an error that leaves nothing behind', async () => {
    const file = join(directory, 'a-file')
    await writeFile(file, '')
    await expect(loadOrCreateIdentity(file)).rejects.toBeInstanceOf(IdentityFileError)
    expect(await readdir(directory)).toEqual(['a-file'])
  })
})
