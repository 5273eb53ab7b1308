import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { UploadRequest } from '#contracts/api/training.ts'
import type { Client } from '#renderer/client/link.ts'
import { pieceBytes, toBase64, uploadFile } from '#renderer/state/upload.ts'

const id = '5b0e7c1a-0001-4000-8000-000000000001'

function nodeThatTakes(pieces: UploadRequest[], failAt = Number.POSITIVE_INFINITY): Client {
  const upload = async (piece: UploadRequest) => {
    if (pieces.length === failAt) throw new Error('the line is dead')
    pieces.push(piece)
    const byteLength = piece.offset + Buffer.from(piece.bytes, 'base64').length
    return { id, name: piece.name, byteLength }
  }
  return { training: { upload } } as unknown as Client
}

const bytes = Uint8Array.from({ length: pieceBytes * 2 + 5 }, (_, at) => (at * 31) % 256)
const file = { name: 'letters.txt', blob: new Blob([bytes]) }
const start = { id: null, sentBytes: 0 }
const never = new AbortController().signal

describe('handing over a file', () => {
  test('goes piece by piece, each behind the one before it, and says how far it is', async () => {
    const pieces: UploadRequest[] = []
    const seen: number[] = []
    const end = await uploadFile(nodeThatTakes(pieces), file, start, ({ sentBytes }) => seen.push(sentBytes), never)
    expect(end).toEqual({ id, sentBytes: bytes.length })
    expect(seen).toEqual([pieceBytes, pieceBytes * 2, bytes.length])
    expect(pieces.map((piece) => piece.id)).toEqual([null, id, id])
    expect(Buffer.concat(pieces.map((piece) => Buffer.from(piece.bytes, 'base64')))).toEqual(Buffer.from(bytes))
  })

  test('goes on where it broke off', async () => {
    const pieces: UploadRequest[] = []
    let point: { id: string | null; sentBytes: number } = start
    const keep = (next: typeof point) => {
      point = next
    }
    await expect(uploadFile(nodeThatTakes(pieces, 1), file, point, keep, never)).rejects.toThrow('the line is dead')
    expect(point).toEqual({ id, sentBytes: pieceBytes })
    await uploadFile(nodeThatTakes(pieces), file, point, keep, never)
    expect(pieces.map(({ offset }) => offset)).toEqual([0, pieceBytes, pieceBytes * 2])
  })

  test('ends when it is told to', async () => {
    const stop = new AbortController()
    const upload = uploadFile(nodeThatTakes([]), file, start, () => stop.abort(new Error('enough')), stop.signal)
    await expect(upload).rejects.toThrow('enough')
  })

  test('writes base64 as everybody does', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40_000 }), (some) => {
        expect(toBase64(some)).toBe(Buffer.from(some).toString('base64'))
      }),
      { numRuns: 20 },
    )
  })
})
