/** A range of a file at the hub, read across as many connections as it takes. */
import { DownloadError } from '#core/errors.ts'
import type { HubFile, HubModel } from '#core/ports/model-hub.ts'
import type { Connection } from './connection.ts'
import { failureOfResponse, PassingFailure } from './failures.ts'
import { withRetries } from './retry.ts'

export interface ByteRange {
  /** In bytes, `[begin, end)`. */
  readonly begin: number
  readonly end: number
}

export interface ReadOptions {
  readonly signal: AbortSignal | undefined
  readonly failsWhenUnreachable?: boolean
}

/**
 * Gives `take` every byte of the range once, in order. Throws `DownloadError` that names the file. A length other than the
 * listing's ends it at once: the bytes would not be those either.
 */
export async function readRange(
  connection: Connection,
  model: HubModel,
  file: HubFile,
  range: ByteRange,
  take: (chunk: Uint8Array) => Promise<void> | void,
  options: ReadOptions,
): Promise<void> {
  const { hubUrl, retries, pause } = connection
  const url = `${hubUrl}/${model.repository}/resolve/${model.revision}/${file.path}`
  let position = range.begin

  async function attempt(): Promise<void> {
    if (position >= range.end) return
    const headers = { range: `bytes=${position}-${range.end - 1}` }
    const answer = await connection.get(url, { headers, signal: options.signal })
    try {
      let arrived = startOf(answer.response, file, position)
      for await (const piece of answer.chunks) {
        const fresh = piece.subarray(Math.min(piece.length, position - arrived))
        arrived += piece.length
        const chunk = withinRange(fresh, range.end - position, answer.response.status, file)
        await take(chunk)
        position += chunk.length
        if (position === range.end && answer.response.status === 200) return
      }
    } finally {
      await answer.close()
    }
    if (position < range.end) throw new PassingFailure('the connection was cut')
  }

  const init = {
    where: file.path,
    policy: retries,
    pause,
    signal: options.signal,
    bytesDone: () => position,
    failsWhenUnreachable: options.failsWhenUnreachable ?? false,
  }
  await withRetries(init, attempt)
}

/** A small file whole, in memory. `maximumBytes` is looked at before anything is fetched. */
export async function readBytes(
  connection: Connection,
  model: HubModel,
  file: HubFile,
  range: ByteRange & { readonly maximumBytes: number },
  options: ReadOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const length = range.end - range.begin
  if (length > range.maximumBytes) {
    throw new DownloadError(file.path, `${length} bytes, at most ${range.maximumBytes} are read`)
  }
  const bytes = new Uint8Array(length)
  let filled = 0
  const fill = (chunk: Uint8Array) => {
    bytes.set(chunk, filled)
    filled += chunk.length
  }
  await readRange(connection, model, file, range, fill, options)
  return bytes
}

/** Where in the file the answer begins: at `position`, or at 0 when the server does not do ranges. */
function startOf(response: Response, file: HubFile, position: number): number {
  const failure = failureOfResponse(file.path, response)
  if (failure !== null) throw failure
  const encoding = response.headers.get('content-encoding') ?? 'identity'
  if (encoding !== 'identity') throw new DownloadError(file.path, 'came compressed, which was not asked for')
  const { begin, totalBytes } = response.status === 206 ? partOf(response, file) : wholeOf(response)
  if (totalBytes !== null && totalBytes !== file.sizeBytes) {
    throw new DownloadError(file.path, `${totalBytes} bytes long, the hub stated ${file.sizeBytes}`)
  }
  if (begin !== 0 && begin !== position) {
    throw new DownloadError(file.path, `bytes from ${begin} on came, those from ${position} on were asked for`)
  }
  return begin
}

function wholeOf(response: Response): { begin: number; totalBytes: number | null } {
  const length = response.headers.get('content-length')
  return { begin: 0, totalBytes: length === null ? null : Number(length) }
}

function partOf(response: Response, file: HubFile): { begin: number; totalBytes: number | null } {
  const [, begin, total] =
    /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(response.headers.get('content-range') ?? '') ?? []
  if (begin === undefined) throw new DownloadError(file.path, 'a part came that does not say which')
  return { begin: Number(begin), totalBytes: total === '*' ? null : Number(total) }
}

/** What follows the range in a whole file is not wanted; after a part there is nothing. */
function withinRange(bytes: Uint8Array, left: number, status: number, file: HubFile): Uint8Array {
  if (bytes.length > left && status === 206) throw new DownloadError(file.path, 'more came than was asked for')
  return bytes.subarray(0, left)
}
