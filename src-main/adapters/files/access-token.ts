/** The secret that opens the UI of a headless node: 256 random bits in a file only its owner can read. */
import { randomBytes } from 'node:crypto'
import { chmod, readFile } from 'node:fs/promises'
import { InvalidInputError } from '#contracts/errors.ts'
import { atomicWrite } from './atomic-write.ts'

const form = /^[0-9a-f]{64}$/

/** Kept across restarts, so that an open browser tab finds its node again. Throws when the file holds something else. */
export async function loadOrCreateAccessToken(file: string): Promise<string> {
  const existing = await readAccessToken(file)
  if (existing !== null) {
    await chmod(file, 0o600)
    return existing
  }
  const token = randomBytes(32).toString('hex')
  await atomicWrite(file, `${token}\n`)
  return token
}

export async function readAccessToken(file: string): Promise<string | null> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return null
    throw cause
  }
  const token = text.trim()
  if (!form.test(token)) throw new InvalidInputError(file, 'not an access token; delete the file to get a new one')
  return token
}
