/**
 * The node's key on disk: `identity.key`, libp2p's protobuf of an Ed25519 private key, readable by its owner only. A file
 * that is there is never overwritten, whatever is in it: it is somebody's identity.
 */
import { constants } from 'node:fs'
import { chmod, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  generateKeyPair,
  generateKeyPairFromSeed,
  privateKeyFromProtobuf,
  privateKeyToProtobuf,
} from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { CodedError } from '#contracts/errors.ts'
import { identityOf, type KeyedIdentity } from './identity.ts'

export const identityFileName = 'identity.key'

/** Protobuf: key type Ed25519, then 32 bytes of seed and 32 of public key. */
const identityFileBytes = 68
const seedBytes = 32

/** The identity file cannot be read, written or understood. It is left as it is. */
export class IdentityFileError extends CodedError {
  constructor(path: string, what: string, options?: { cause?: unknown }) {
    super('storage-failed', `${path}: ${what}`, { where: path, what }, options)
  }
}

/** Reads `identity.key` in `directory`, or makes both. Throws `IdentityFileError`. */
export async function loadOrCreateIdentity(directory: string): Promise<KeyedIdentity> {
  const path = join(directory, identityFileName)
  const bytes = await readIdentityFile(path)
  if (bytes !== null) return identityOf(await parsePrivateKey(path, bytes))
  const privateKey = await generateKeyPair('Ed25519')
  await writeIdentityFile(directory, path, privateKeyToProtobuf(privateKey))
  return identityOf(privateKey)
}

async function readIdentityFile(path: string): Promise<Uint8Array | null> {
  try {
    const file = await open(path, constants.O_RDONLY)
    try {
      const { size } = await file.stat()
      if (size !== identityFileBytes) throw new IdentityFileError(path, `${size} bytes, expected ${identityFileBytes}`)
      await chmod(path, 0o600)
      return new Uint8Array(await file.readFile())
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (cause instanceof IdentityFileError) throw cause
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return null
    throw new IdentityFileError(path, 'cannot be read', { cause })
  }
}

async function parsePrivateKey(path: string, bytes: Uint8Array): Promise<Ed25519PrivateKey> {
  try {
    const privateKey = privateKeyFromProtobuf(bytes)
    if (privateKey.type !== 'Ed25519') throw new IdentityFileError(path, `a ${privateKey.type} key, expected Ed25519`)
    const derived = await generateKeyPairFromSeed('Ed25519', privateKey.raw.subarray(0, seedBytes))
    if (!derived.publicKey.equals(privateKey.publicKey)) throw new IdentityFileError(path, 'its halves do not match')
    return privateKey
  } catch (cause) {
    if (cause instanceof IdentityFileError) throw cause
    throw new IdentityFileError(path, 'not an Ed25519 private key', { cause })
  }
}

/** Whole or not at all: written beside, flushed, then renamed into place. */
async function writeIdentityFile(directory: string, path: string, bytes: Uint8Array): Promise<void> {
  const partial = `${path}.${process.pid}.partial`
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await rm(partial, { force: true })
    const file = await open(partial, 'wx', 0o600)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(partial, path)
  } catch (cause) {
    await rm(partial, { force: true }).catch(() => {})
    throw new IdentityFileError(path, 'cannot be written', { cause })
  }
}
