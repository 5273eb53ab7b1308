/**
 * The `fetch` that the hub's own library is given for its questions: answers are read whole, up to a size, with the
 * retries and time limits of everything else, and only from the hub itself.
 */
import { DownloadError } from '#core/errors.ts'
import type { Answer, Connection } from './connection.ts'
import { failureOfResponse } from './failures.ts'
import { withRetries } from './retry.ts'

const maximumAnswerBytes = 32 << 20

/** Throws `DownloadError` about `where` for any answer that is not a good one. */
export function createLibraryFetch(
  connection: Connection,
  where: string,
  signal: AbortSignal | undefined,
): typeof fetch {
  const { hubUrl, retries: policy, pause } = connection
  const init = { where, policy, pause, signal, bytesDone: () => 0, failsWhenUnreachable: true }
  return async (input) => {
    const url = String(input)
    if (!url.startsWith(`${hubUrl}/`)) throw new DownloadError(where, 'the hub points to another host for its answer')
    return withRetries(init, async () => {
      const answer = await connection.get(url, { headers: { accept: 'application/json' }, signal })
      try {
        const failure = failureOfResponse(where, answer.response)
        if (failure !== null) throw failure
        return new Response(await readWhole(answer, where), { headers: answer.response.headers })
      } finally {
        await answer.close()
      }
    })
  }
}

async function readWhole(answer: Answer, where: string): Promise<Blob> {
  const pieces: Uint8Array<ArrayBuffer>[] = []
  let length = 0
  for await (const piece of answer.chunks) {
    length += piece.length
    if (length > maximumAnswerBytes) throw new DownloadError(where, `an answer longer than ${maximumAnswerBytes} bytes`)
    pieces.push(new Uint8Array(piece))
  }
  return new Blob(pieces)
}
