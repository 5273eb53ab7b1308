/**
 * Walks the front of a GGUF file in bounded chunks. Nothing is allocated for a length that the file itself does not have,
 * and every failure says at which byte and in which field. All numbers are little-endian.
 */
import { ModelFormatError } from '#core/errors.ts'
import { chunkBytes, type OpenFile, readRange } from './files.ts'

/** Metadata and tensor list of the largest models take some 20 MB, nearly all of it vocabulary. */
export const maximumGgufHeaderBytes = 128 << 20

export interface GgufCursor {
  /** From the beginning of the file. */
  readonly position: number
  /** Bytes between the position and the end of the file. */
  readonly remainingBytes: number
  /** Makes sure that `bytes` more can be read without waiting; null when they can already. `field` is for the message. */
  need(bytes: number, field: string): Promise<void> | null
  /** The next bytes, to be copied or decoded at once. They must have been asked for with `need`. */
  take(bytes: number): { readonly view: DataView; readonly at: number }
  /** Passes over bytes without reading them. */
  skip(bytes: number, field: string): void
  /** A failure at `position`, which is the cursor's own when left out. */
  wrong(field: string, what: string, position?: number): ModelFormatError
}

export function createGgufCursor(file: OpenFile): GgufCursor {
  let chunk = new DataView(new ArrayBuffer(0))
  let chunkStart = 0
  let position = 0
  const wrong = (field: string, what: string, at = position) =>
    new ModelFormatError(`${file.label}: ${field} at byte ${at}`, what)
  const expectInside = (bytes: number, field: string) => {
    if (bytes > file.sizeBytes - position) throw wrong(field, `the file ends at byte ${file.sizeBytes}, inside it`)
    if (position + bytes > maximumGgufHeaderBytes) {
      throw wrong(field, `more than ${maximumGgufHeaderBytes} bytes before the tensors`)
    }
  }
  const load = async (bytes: number) => {
    const end = Math.min(file.sizeBytes, position + Math.max(bytes, chunkBytes))
    chunk = new DataView((await readRange(file, position, end)).buffer)
    chunkStart = position
  }
  return {
    get position() {
      return position
    },
    get remainingBytes() {
      return file.sizeBytes - position
    },
    need(bytes, field) {
      if (position + bytes <= chunkStart + chunk.byteLength) return null
      expectInside(bytes, field)
      return load(bytes)
    },
    take(bytes) {
      const at = position - chunkStart
      position += bytes
      return { view: chunk, at }
    },
    skip(bytes, field) {
      expectInside(bytes, field)
      position += bytes
    },
    wrong,
  }
}
