/** CSV and TSV: a header that names the fields, then a record a row. Rows of another length are left out and counted. */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CsvError, parse } from 'csv-parse'
import type { WarningCollector } from '#core/data/warning-collector.ts'
import { DataFormatError } from '#core/errors.ts'
import { maximumRecordCharacters } from './limits.ts'
import { hasKnownFields, knownFields, readRecord } from './record.ts'
import type { PlacedRecord } from './records-of-json-lines.ts'
import { extensionOf } from './sniff.ts'

export interface TableOptions {
  readonly name: string
  /** The file's beginning, to tell what separates its fields. */
  readonly headText: string
  readonly warnings: WarningCollector
}

/** Throws `DataFormatError` for a header of unknown names, and where a quote is never closed. */
export async function* recordsOfTable(
  chunks: AsyncIterable<string>,
  options: TableOptions,
): AsyncGenerator<PlacedRecord, void, undefined> {
  const { name, warnings } = options
  let header: readonly string[] | null = null
  for await (const { line, cells } of readRows(chunks, options)) {
    if (header === null) {
      header = checkedHeader(name, line, cells)
      continue
    }
    const body = cells.length === header.length ? readRecord(Object.fromEntries(zip(header, cells))) : null
    if (body === null) warnings.add('records-skipped', `${name}:${line}`)
    else yield { line, body }
  }
}

interface Row {
  /** The one it begins in. */
  readonly line: number
  readonly cells: readonly string[]
}

async function* readRows(chunks: AsyncIterable<string>, options: TableOptions): AsyncGenerator<Row> {
  const parser = parse({
    delimiter: separatorOf(options.name, options.headText),
    info: true,
    max_record_size: maximumRecordCharacters,
    relax_column_count: true,
    relax_quotes: true,
    skip_empty_lines: true,
  })
  const feeding = pipeline(Readable.from(chunks), parser)
  // What goes wrong there ends the loop below, too.
  feeding.catch(() => undefined)
  let line = 1
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      yield { line, cells: record }
      line = info.lines + 1
    }
  } catch (error) {
    throw error instanceof CsvError ? describe(error, options.name, line) : error
  } finally {
    parser.destroy()
    await feeding.catch(() => undefined)
  }
}

/** The one of `,` `;` `|` and tab that is most often in the first line, outside quotes. */
export function separatorOf(name: string, headText: string): string {
  if (['tsv', 'tab'].includes(extensionOf(name))) return '\t'
  const firstLine = /^[^\r\n]*/.exec(headText.trimStart())?.[0].replace(/"[^"]*"/g, '') ?? ''
  const counts = [',', ';', '\t', '|'].map((separator) => ({ separator, count: firstLine.split(separator).length }))
  return counts.reduce((best, one) => (one.count > best.count ? one : best)).separator
}

function checkedHeader(name: string, line: number, cells: readonly string[]): readonly string[] {
  if (hasKnownFields(cells)) return cells
  const found = cells.join(', ').slice(0, 100)
  throw new DataFormatError(`${name}:${line}`, `no columns are called ${knownFields} (there are: ${found})`)
}

function zip(header: readonly string[], cells: readonly string[]): [string, string][] {
  return header.map((column, index) => [column, cells[index] ?? ''])
}

function describe(error: CsvError, name: string, line: number): DataFormatError {
  const what =
    error.code === 'CSV_QUOTE_NOT_CLOSED'
      ? 'a quote is opened and never closed'
      : error.code === 'CSV_MAX_RECORD_SIZE'
        ? `a record is longer than ${maximumRecordCharacters} characters: a quote may be missing`
        : error.message
  return new DataFormatError(`${name}:${line}`, what, { cause: error })
}
