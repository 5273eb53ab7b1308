/**
 * The newest entry's seal, in a small JSON file beside the database. SQLite recovers a damaged write-ahead log by
 * silently dropping its end; the seal is what remembers that there was more.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import * as z from 'zod'
import { type LedgerHead, ledgerHeadSchema } from '#contracts/receipt/ledger-entry.ts'
import { LedgerCorruptError } from './ledger-errors.ts'

export function headPath(file: string): string {
  return `${file}.head`
}

const hexSignature = z
  .string()
  .regex(/^[0-9a-f]{128}$/)
  .transform((hex) => new Uint8Array(Buffer.from(hex, 'hex')))

const headFileSchema = z.strictObject({
  version: z.literal(1),
  ...ledgerHeadSchema.shape,
  signature: hexSignature,
})

/** Null when there is none. Throws `LedgerCorruptError` for one that cannot be understood. */
export function readHead(file: string): LedgerHead | null {
  const text = readIfThere(headPath(file))
  if (text === null) return null
  try {
    const { sequence, hash, signature } = headFileSchema.parse(JSON.parse(text))
    return { sequence, hash, signature }
  } catch (error) {
    throw new LedgerCorruptError(headPath(file), 'not the seal of a ledger', { cause: error })
  }
}

/** Replaces the file in one step that a crash or power loss cannot tear. Callers see to it that only one writes at a time. */
export function writeHead(file: string, { sequence, hash, signature }: LedgerHead): void {
  const path = headPath(file)
  const head = { version: 1, sequence, hash, signature: Buffer.from(signature).toString('hex') }
  const partial = `${path}.partial`
  writeFileSync(partial, `${JSON.stringify(head)}\n`, { mode: 0o600, flush: true })
  renameSync(partial, path)
  syncDirectory(dirname(path))
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

/** Makes the rename durable. Windows neither needs nor allows it. */
function syncDirectory(path: string): void {
  if (process.platform === 'win32') return
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
