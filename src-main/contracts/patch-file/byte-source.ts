/** Bytes that can be read from any place: a file, a blob, memory. */
export interface ByteSource {
  readonly byteLength: number
  /** Exactly `length` bytes from `offset` on, or it throws. */
  read(offset: number, length: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<Uint8Array>
}

export function bytesInMemory(bytes: Uint8Array): ByteSource {
  return {
    byteLength: bytes.length,
    async read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > bytes.length) {
        throw new RangeError(`bytes ${offset} to ${offset + length} of ${bytes.length}`)
      }
      return bytes.subarray(offset, offset + length)
    },
  }
}

const pieceBytes = 1 << 20

/** All of it, front to back, a piece at a time. */
export async function* piecesOf(source: ByteSource, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < source.byteLength; offset += pieceBytes) {
    signal?.throwIfAborted()
    yield await source.read(offset, Math.min(pieceBytes, source.byteLength - offset), { signal })
  }
}
