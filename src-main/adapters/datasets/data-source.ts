/**
 * The `DataSource` port on local files: plain text, Markdown, JSONL, CSV and TSV, read as a stream of documents in the files'
 * order. `docs/formats/training-data.md` has the forms in detail.
 */
import type { DataFile } from '#contracts/api/training.ts'
import { createWarningCollector, type WarningCollector } from '#core/data/warning-collector.ts'
import { DataFormatError } from '#core/errors.ts'
import type { DataDocument, DataSource, DocumentBody, OpenData } from '#core/ports/data-source.ts'
import { piecesOfMarkdown, piecesOfText, wholeMarkdownBytes } from './documents-of-text.ts'
import { keepFiles } from './keep-files.ts'
import { maximumTotalBytes } from './limits.ts'
import { type FoundFile, findFile, openFile, type SniffedFile, sniffFile } from './open-file.ts'
import { readText, withPlainLineEnds } from './read-text.ts'
import { knownFields } from './record.ts'
import { recordsOfJsonLines } from './records-of-json-lines.ts'
import { recordsOfTable } from './records-of-table.ts'
import { createUploads } from './uploads.ts'

export interface DataSourceInit {
  /** For uploads; made when the first one begins. */
  readonly directory: string
  /** The time, for what is stale. */
  readonly nowMs?: () => number
}

export function createDataSource(init: DataSourceInit): DataSource {
  const uploads = createUploads(init)
  const find = (file: DataFile) => (file.kind === 'upload' ? uploads.find(file.id) : findFile(file.path))
  const findAll = async (files: readonly DataFile[]): Promise<FoundFile[]> => {
    const found: FoundFile[] = []
    for (const file of files) found.push(await find(file))
    return found
  }
  return {
    async open(files, options = {}) {
      const found = await findAll(files)
      expectModest(found)
      const sniffed: SniffedFile[] = []
      for (const file of found) {
        options.signal?.throwIfAborted()
        sniffed.push(await sniffFile(file))
      }
      return openData(sniffed, options)
    },
    upload: (piece) => uploads.add(piece),
    async keep(files, directory) {
      const paths = await keepFiles(await findAll(files), directory)
      return paths.map((path) => ({ kind: 'path', path }))
    },
  }
}

type OpenOptions = NonNullable<Parameters<DataSource['open']>[1]>

interface Reading {
  readonly warnings: WarningCollector
  readonly signal: AbortSignal | undefined
  readonly onBytes: (bytes: number) => void
}

function openData(files: readonly SniffedFile[], { signal, onProgress }: OpenOptions): OpenData {
  const warnings = createWarningCollector()
  const bytesTotal = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let bytesDone = 0
  const onBytes = (bytes: number) => {
    bytesDone += bytes
    onProgress?.({ bytesDone, bytesTotal: Math.max(bytesTotal, bytesDone) })
  }
  return {
    files: files.map(({ name, format, bytes }) => ({ name, format, bytes })),
    async *documents() {
      for (const [index, file] of files.entries()) yield* documentsOf(file, index, { warnings, signal, onBytes })
    },
    warnings: () => warnings.all(),
  }
}

/** Throws `DataFormatError` for a file with nothing in it to learn. */
async function* documentsOf(file: SniffedFile, index: number, reading: Reading): AsyncGenerator<DataDocument> {
  const handle = await openFile(file)
  let documents = 0
  try {
    const chunks = readText(handle, { ...file, ...reading })
    for await (const { line, body } of bodiesOf(file, chunks, reading)) {
      reading.signal?.throwIfAborted()
      documents++
      yield { where: `${file.name}:${line}`, file: index, body }
    }
  } finally {
    await handle.close()
  }
  if (documents > 0) return
  const isRecords = file.format === 'jsonl' || file.format === 'csv'
  throw new DataFormatError(file.name, isRecords ? `no record has ${knownFields}` : 'holds nothing but white space')
}

interface PlacedBody {
  readonly line: number
  readonly body: DocumentBody
}

function bodiesOf(file: SniffedFile, chunks: AsyncIterable<string>, { warnings }: Reading): AsyncIterable<PlacedBody> {
  switch (file.format) {
    case 'text':
      return asBodies(piecesOfText(withPlainLineEnds(chunks)))
    case 'markdown': {
      const isLong = file.bytes > wholeMarkdownBytes
      return asBodies(piecesOfMarkdown(withPlainLineEnds(chunks), { name: file.name, isLong }))
    }
    case 'jsonl':
      return recordsOfJsonLines(chunks, { name: file.name, warnings })
    case 'csv':
      return recordsOfTable(chunks, { name: file.name, headText: file.headText, warnings })
  }
}

async function* asBodies(pieces: AsyncIterable<{ text: string; line: number }>): AsyncGenerator<PlacedBody> {
  for await (const { text, line } of pieces) yield { line, body: { kind: 'text', text } }
}

function expectModest(files: readonly FoundFile[]): void {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  if (total <= maximumTotalBytes) return
  const largest = files.reduce((one, other) => (other.bytes > one.bytes ? other : one))
  throw new DataFormatError(largest.name, `the files have ${total} bytes in all, at most ${maximumTotalBytes} are read`)
}
