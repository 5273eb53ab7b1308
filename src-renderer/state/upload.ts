/** Hands a file over to the node piece by piece, each behind the one before it, so that memory holds one piece at a time. */
import { maximumUploadBytes } from '#contracts/api/training.ts'
import type { Client } from '../client/link.ts'

/** Small enough to show progress and to let other calls pass in between. */
export const pieceBytes = 256 * 1024

export type UploadPoint = { readonly id: string | null; readonly sentBytes: number }

export const fitsUpload = (file: Pick<Blob, 'size'>): boolean => file.size <= maximumUploadBytes

/** Goes on from `from`; `onPiece` is told how far it is. -> where it ended. Throws the signal's reason, or the call's failure. */
export async function uploadFile(
  client: Client,
  file: { readonly name: string; readonly blob: Blob },
  from: UploadPoint,
  onPiece: (point: UploadPoint) => void,
  signal: AbortSignal,
): Promise<UploadPoint> {
  let point = from
  while (point.id === null || point.sentBytes < file.blob.size) {
    signal.throwIfAborted()
    const piece = file.blob.slice(point.sentBytes, point.sentBytes + pieceBytes)
    const bytes = toBase64(new Uint8Array(await piece.arrayBuffer()))
    const { id, byteLength } = await client.training.upload(
      { id: point.id, name: file.name.slice(0, 255), offset: point.sentBytes, bytes },
      { signal },
    )
    point = { id, sentBytes: byteLength }
    onPiece(point)
  }
  return point
}

const charactersAtOnce = 8_192

/** Standard base64, with padding. */
export function toBase64(bytes: Uint8Array): string {
  let binary = ''
  for (let start = 0; start < bytes.length; start += charactersAtOnce) {
    binary += String.fromCharCode(...bytes.subarray(start, start + charactersAtOnce))
  }
  return btoa(binary)
}
