/** A file's bytes as text, chunk by chunk: decoded, without the byte order mark, and counting what had to be replaced. */
import type { FileHandle } from 'node:fs/promises'
import { countLines } from '#core/data/cut-text.ts'
import type { WarningCollector } from '#core/data/warning-collector.ts'
import { DataFormatError } from '#core/errors.ts'
import { chunkBytes } from './limits.ts'
import type { TextEncoding } from './sniff.ts'

export interface ReadTextOptions {
  /** For people. */
  readonly name: string
  readonly encoding: TextEncoding
  readonly warnings: WarningCollector
  readonly signal: AbortSignal | undefined
  readonly onBytes: (bytes: number) => void
}

/** Throws `DataFormatError` at a NUL byte of a file that began as text. */
export async function* readText(handle: FileHandle, options: ReadTextOptions): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder(options.encoding)
  const replaced = createReplacementCounter(options)
  for await (const bytes of readChunks(handle, options)) {
    if (options.encoding === 'utf-8' && bytes.includes(0)) {
      throw new DataFormatError(options.name, 'is not text (it has NUL bytes): save its text as a .txt file')
    }
    const text = decoder.decode(bytes, { stream: true })
    replaced.look(bytes, text)
    yield text
  }
  const rest = decoder.decode()
  replaced.look(new Uint8Array(), rest)
  if (rest !== '') yield rest
}

/** Every line's end as `\n`. */
export async function* withPlainLineEnds(chunks: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  let carry = ''
  for await (const chunk of chunks) {
    const text = carry + chunk
    carry = text.endsWith('\r') ? '\r' : ''
    yield text.slice(0, text.length - carry.length).replace(/\r\n?/g, '\n')
  }
  if (carry !== '') yield '\n'
}

async function* readChunks(handle: FileHandle, { signal, onBytes }: ReadTextOptions): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(chunkBytes)
  for (let position = 0; ; ) {
    signal?.throwIfAborted()
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position)
    if (bytesRead === 0) return
    position += bytesRead
    onBytes(bytesRead)
    yield buffer.subarray(0, bytesRead)
  }
}

/** A replacement character in the text was one in the file, or stands for bytes that were none. */
function createReplacementCounter({ name, encoding, warnings }: ReadTextOptions) {
  let line = 1
  let genuine = 0
  let tail = new Uint8Array()
  return {
    look(bytes: Uint8Array, text: string) {
      if (encoding === 'utf-8') {
        const joined = Buffer.concat([tail, bytes])
        genuine += countOf(joined, '\ufffd')
        tail = new Uint8Array(joined.subarray(Math.max(0, joined.length - 2)))
      }
      for (let at = text.indexOf('\ufffd'); at >= 0; at = text.indexOf('\ufffd', at + 1)) {
        if (genuine > 0) genuine--
        else warnings.add('not-utf8', `${name}:${line + countLines(text.slice(0, at))}`)
      }
      line += countLines(text)
    },
  }
}

function countOf(bytes: Buffer, text: string): number {
  let count = 0
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) count++
  return count
}
