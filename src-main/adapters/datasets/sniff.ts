/** What a file is, from its name and its first bytes. Pure. */
import type { dataFormats } from '#contracts/api/training.ts'
import { DataFormatError } from '#core/errors.ts'

export type DataFormat = (typeof dataFormats)[number]
export type TextEncoding = 'utf-8' | 'utf-16le' | 'utf-16be'

/** First bytes of files that are no text, and what their owner can do. */
const binaryForms: readonly { readonly begins: readonly number[]; readonly what: string }[] = [
  { begins: [0x25, 0x50, 0x44, 0x46], what: 'is a PDF: save its text as a .txt file' },
  {
    begins: [0x50, 0x4b, 0x03, 0x04],
    what: 'is a zip archive or an office document: unpack it, or save it as plain text or CSV',
  },
  { begins: [0xd0, 0xcf, 0x11, 0xe0], what: 'is an old office document: save it as plain text or CSV' },
  { begins: [0x7b, 0x5c, 0x72, 0x74, 0x66], what: 'is rich text (RTF): save it as plain text' },
  { begins: [0x1f, 0x8b], what: 'is compressed (gzip): unpack it first' },
  { begins: [0x28, 0xb5, 0x2f, 0xfd], what: 'is compressed (zstd): unpack it first' },
  { begins: [0xfd, 0x37, 0x7a, 0x58, 0x5a], what: 'is compressed (xz): unpack it first' },
  { begins: [0x42, 0x5a, 0x68], what: 'is compressed (bzip2): unpack it first' },
  { begins: [0x50, 0x41, 0x52, 0x31], what: 'is a Parquet table: export it as JSONL or CSV' },
]

/** Throws `DataFormatError` for what is no text. */
export function sniffEncoding(name: string, head: Uint8Array): TextEncoding {
  if (head[0] === 0xff && head[1] === 0xfe) return 'utf-16le'
  if (head[0] === 0xfe && head[1] === 0xff) return 'utf-16be'
  const form = binaryForms.find(({ begins }) => begins.every((byte, index) => head[index] === byte))
  if (form !== undefined) throw new DataFormatError(name, form.what)
  if (head.includes(0)) throw new DataFormatError(name, describeNulBytes(head))
  return 'utf-8'
}

/** By extension; where that says nothing, JSONL when the first line is a JSON object, else plain text. */
export function sniffFormat(name: string, headText: string): DataFormat {
  const extension = extensionOf(name)
  switch (extension) {
    case 'md':
    case 'markdown':
    case 'mdown':
      return 'markdown'
    case 'jsonl':
    case 'ndjson':
      return 'jsonl'
    case 'csv':
    case 'tsv':
    case 'tab':
      return 'csv'
    case 'txt':
    case 'text':
      return 'text'
    default:
      return formatByContent(name, headText, extension === 'json')
  }
}

export function extensionOf(name: string): string {
  return /\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase() ?? ''
}

/** Half of UTF-16's bytes are NUL in most languages of Europe: named apart, as it is easily mended. */
function describeNulBytes(head: Uint8Array): string {
  const places = [...head.entries()].filter(([, byte]) => byte === 0).map(([place]) => place)
  const onOneSide = places.every((place) => place % 2 === 0) || places.every((place) => place % 2 === 1)
  return onOneSide && places.length * 4 > head.length
    ? 'looks like UTF-16 without a byte order mark: save it as UTF-8'
    : 'is not text (it has NUL bytes): save its text as a .txt file'
}

function formatByContent(name: string, headText: string, isJson: boolean): DataFormat {
  const start = headText.trimStart()
  if (isJson && start.startsWith('[')) {
    throw new DataFormatError(name, 'is one JSON array: write each of its records on a line of its own (JSONL)')
  }
  const firstLine = start.slice(0, start.indexOf('\n') < 0 ? undefined : start.indexOf('\n'))
  if (isJsonObject(firstLine)) return 'jsonl'
  if (isJson) throw new DataFormatError(`${name}:1`, 'is JSON, but not one record a line (JSONL)')
  return 'text'
}

function isJsonObject(line: string): boolean {
  if (!line.startsWith('{')) return false
  try {
    return typeof JSON.parse(line) === 'object'
  } catch {
    return false
  }
}
