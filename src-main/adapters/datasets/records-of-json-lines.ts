/** JSONL: a record a line. Lines that are no record, or too long to hold, are left out and counted. */
import type { WarningCollector } from '#core/data/warning-collector.ts'
import type { DocumentBody } from '#core/ports/data-source.ts'
import { maximumRecordCharacters } from './limits.ts'
import { readLines } from './read-lines.ts'
import { readRecord } from './record.ts'

export interface PlacedRecord {
  readonly line: number
  readonly body: DocumentBody
}

export async function* recordsOfJsonLines(
  chunks: AsyncIterable<string>,
  { name, warnings }: { readonly name: string; readonly warnings: WarningCollector },
): AsyncGenerator<PlacedRecord, void, undefined> {
  for await (const { number, text } of readLines(chunks, maximumRecordCharacters)) {
    if (text?.trim() === '') continue
    const body = text === null ? null : readRecord(parseOrNull(text))
    if (body === null) warnings.add('records-skipped', `${name}:${number}`)
    else yield { line: number, body }
  }
}

function parseOrNull(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}
