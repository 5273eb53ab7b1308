/**
 * Checkpoints as files: `checkpoint-<number>`, numbers going up. Each is written beside its place and moved there when the
 * disk has all of it, and carries a digest of itself, so that one torn or rotten is known and the one before is used.
 *
 *     'QbeeCkpt' | step u64 | byte length u64 | SHA-256 of step, length and bytes | bytes        (little-endian)
 */
import { createHash } from 'node:crypto'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { StorageError } from '#core/errors.ts'
import { namingStorage, systemCode } from '#core/storage-errors.ts'

export interface Checkpoint {
  readonly step: number
  readonly bytes: Uint8Array
}

export interface CheckpointFiles {
  /** Durable when it resolves; then all but the newest two are gone. Throws `StorageError`. */
  save(step: number, bytes: Uint8Array): Promise<void>
  /** The newest that is whole; null when there is none. */
  load(): Promise<Checkpoint | null>
}

const magic = Buffer.from('QbeeCkpt', 'latin1')
const headerBytes = magic.length + 8 + 8 + 32
const kept = 2

export function createCheckpointFiles(directory: string): CheckpointFiles {
  return {
    save: (step, bytes) =>
      namingStorage(directory, async () => {
        await mkdir(directory, { recursive: true, mode: 0o700 })
        const [newest, ...older] = await numbersOf(directory)
        const path = pathOf(directory, (newest ?? 0) + 1)
        await writeWhole(path, [headerOf(step, bytes), bytes])
        const superfluous = newest === undefined ? [] : [newest, ...older].slice(kept - 1)
        for (const number of superfluous) await rm(pathOf(directory, number), { force: true })
      }),
    async load() {
      for (const number of await numbersOf(directory)) {
        const checkpoint = await readWhole(pathOf(directory, number))
        if (checkpoint !== null) return checkpoint
      }
      return null
    },
  }
}

function pathOf(directory: string, number: number): string {
  return join(directory, `checkpoint-${number}`)
}

/** Newest first. */
async function numbersOf(directory: string): Promise<readonly number[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  })
  const numbers = names.flatMap((name) => /^checkpoint-(\d{1,15})$/.exec(name)?.[1] ?? [])
  return numbers.map(Number).sort((a, b) => b - a)
}

function headerOf(step: number, bytes: Uint8Array): Buffer {
  const header = Buffer.alloc(headerBytes)
  magic.copy(header)
  header.writeBigUInt64LE(BigInt(step), 8)
  header.writeBigUInt64LE(BigInt(bytes.byteLength), 16)
  digestOf(header, bytes).copy(header, 24)
  return header
}

function digestOf(header: Uint8Array, bytes: Uint8Array): Buffer {
  return createHash('sha256').update(header.subarray(8, 24)).update(bytes).digest()
}

/** A crash leaves the old state or the new one, and perhaps a `.partial` that the next save writes over. */
async function writeWhole(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const partial = `${path}.partial`
  const file = await open(partial, 'w', 0o600)
  try {
    for (const part of parts) await file.appendFile(part)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(partial, path)
  await syncDirectory(join(path, '..'))
}

/** Makes the rename survive a power loss; Windows has no such call and needs none. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Null for a file that is not a whole checkpoint. Its claimed length is held against the file before anything is read. */
async function readWhole(path: string): Promise<Checkpoint | null> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return null
    throw new StorageError(path, `the disk said ${systemCode(error) ?? 'no'}`, { cause: error })
  })
  if (file === null) return null
  try {
    const { size } = await file.stat()
    const content = size < headerBytes ? null : await file.readFile()
    return content === null ? null : parse(content)
  } finally {
    await file.close()
  }
}

function parse(content: Buffer): Checkpoint | null {
  const header = content.subarray(0, headerBytes)
  const bytes = content.subarray(headerBytes)
  const isOurs = header.subarray(0, 8).equals(magic) && header.readBigUInt64LE(16) === BigInt(bytes.byteLength)
  if (!isOurs || !digestOf(header, bytes).equals(header.subarray(24))) return null
  return { step: Number(header.readBigUInt64LE(8)), bytes: new Uint8Array(bytes) }
}
