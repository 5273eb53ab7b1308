/** Small files of a model, read whole and checked before anything believes them. */
import type * as z from 'zod'
import { DownloadError } from '#core/errors.ts'
import type { HubFile, HubModel } from '#core/ports/model-hub.ts'
import type { Connection } from './connection.ts'
import { createRunningDigest, digestNames } from './digests.ts'
import { type ReadOptions, readBytes } from './read-range.ts'

/** A file that fits in memory, checked against its digest. */
export async function readSmallFile(
  connection: Connection,
  model: HubModel,
  file: HubFile,
  maximumBytes: number,
  options: ReadOptions,
): Promise<Uint8Array> {
  const bytes = await readBytes(connection, model, file, { begin: 0, end: file.sizeBytes, maximumBytes }, options)
  const digest = createRunningDigest(file)
  digest.update(bytes)
  if (digest.matches()) return bytes
  throw new DownloadError(
    file.path,
    `the bytes that came have another ${digestNames[file.digest.kind]} than the hub states`,
  )
}

export function parseJson(where: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new DownloadError(where, 'not JSON', { cause })
  }
}

export function checkedAnswer<T>(where: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const field = issue?.path.join('.') ?? ''
  throw new DownloadError(where, `the hub’s answer is not as expected: ${field} ${issue?.message ?? ''}`.trimEnd())
}
