/** Adding a whole file: its head is verified before any of it is written, and nothing that is no patch stays. */
import { type FileHandle, open, rm } from 'node:fs/promises'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import { headLengthOf, preambleBytes } from '#contracts/patch-file/layout.ts'
import { type PatchHead, verifyPatchHead } from '#contracts/patch-file/patch-head.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import type { KeptPatch, PatchLibrary } from '#core/ports/patch-library.ts'
import { namingStorage } from '#core/storage-errors.ts'
import { type PatchFiles, writeAll } from './patch-files.ts'
import type { PatchRows } from './patch-rows.ts'
import type { Shelf } from './shelf.ts'

type Chunks = AsyncIterator<Uint8Array, unknown, undefined>

export async function addPatch(
  components: {
    readonly rows: PatchRows
    readonly files: PatchFiles
    readonly shelf: Shelf
    readonly verifier: SignatureVerifier
    readonly clock: Clock
    readonly expectRoom: (head: PatchHead, where: KeptPatch['where']) => void
  },
  bytes: AsyncIterable<Uint8Array>,
  { where, signal }: Parameters<PatchLibrary['add']>[1],
): Promise<KeptPatch> {
  const { rows, files, shelf, verifier } = components
  const chunks = bytes[Symbol.asyncIterator]()
  try {
    const { headBytes, rest } = await readHead(chunks)
    const head = await verifyPatchHead(headBytes, verifier)
    if (rows.one(head.digest)?.complete === 1) return claimFor(head, where)
    components.expectRoom(head, where)
    const path = files.newTemporary()
    try {
      await writeWhole(path, head, [headBytes, rest], chunks, signal)
      await shelf.check(path, signal)
      return settle(path, head, headBytes)
    } finally {
      await rm(path, { force: true })
    }
  } finally {
    await chunks.return?.()
  }

  function settle(path: string, head: PatchHead, headBytes: Uint8Array): KeptPatch {
    const { digest } = head
    rows.locked(() => {
      rows.insert({ head, headBytes, where, addedAtMs: components.clock.now() })
      files.place(path, digest)
      rows.setComplete(digest)
    })
    return claimFor(head, where)
  }

  /** What the owner made stays the owner's, also when it comes back from elsewhere. */
  function claimFor({ digest }: PatchHead, origin: KeptPatch['where']): KeptPatch {
    if (shelf.describe(digest).where !== 'mine') rows.setOrigin(digest, origin)
    return shelf.describe(digest)
  }
}

/** The head, and what came with its last chunk. Holds no more than a head may have. */
async function readHead(chunks: Chunks): Promise<{ headBytes: Uint8Array; rest: Uint8Array }> {
  let gathered: Uint8Array = new Uint8Array()
  let wanted = preambleBytes
  let knowsLength = false
  for (;;) {
    while (gathered.length < wanted) {
      const { done, value } = await chunks.next()
      if (done) throw new PatchFormatError('head', `cut short after ${gathered.length} bytes`)
      gathered = joined(gathered, value)
    }
    if (knowsLength) return { headBytes: gathered.slice(0, wanted), rest: gathered.subarray(wanted) }
    wanted = headLengthOf(gathered)
    knowsLength = true
  }
}

async function writeWhole(
  path: string,
  head: PatchHead,
  first: readonly Uint8Array[],
  chunks: Chunks,
  signal: AbortSignal | undefined,
): Promise<void> {
  const file = await namingStorage(path, () => open(path, 'wx', 0o600))
  try {
    let written = 0
    for (const bytes of first) written = await writeWithin(file, bytes, written, head)
    for (let chunk = await chunks.next(); !chunk.done; chunk = await chunks.next()) {
      signal?.throwIfAborted()
      written = await writeWithin(file, chunk.value, written, head)
    }
    if (written < head.sizeBytes) {
      throw new PatchFormatError('size', `the file has ${written} bytes, its header says ${head.sizeBytes}`)
    }
    await namingStorage(path, () => file.sync())
  } finally {
    await file.close()
  }
}

/** Never more than the header says. */
async function writeWithin(file: FileHandle, bytes: Uint8Array, at: number, { sizeBytes }: PatchHead): Promise<number> {
  if (at + bytes.length > sizeBytes) {
    throw new PatchFormatError('size', `the file has more than the ${sizeBytes} bytes its header says`)
  }
  await namingStorage('patches', () => writeAll(file, bytes, at))
  return at + bytes.length
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const whole = new Uint8Array(a.length + b.length)
  whole.set(a)
  whole.set(b, a.length)
  return whole
}
