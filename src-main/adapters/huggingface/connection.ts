/** HTTP to one hub: nothing waits longer than the idle limit, and the access token goes to no other host. */
import { InvalidInputError } from '#contracts/errors.ts'
import { failureOfConnection, PassingFailure } from './failures.ts'
import type { Pause, RetryPolicy } from './retry.ts'

export interface ConnectionInit {
  /** `https://…`, without a slash at the end. */
  readonly hubUrl: string
  readonly accessToken: string | undefined
  /** How long to wait for an answer to begin, and between two pieces of it. */
  readonly idleTimeoutMs: number
  readonly retries: RetryPolicy
  readonly pause: Pause
}

export interface Answer {
  readonly response: Response
  readonly chunks: AsyncIterable<Uint8Array>
  /** Ends the connection unless the answer has been read to its end. */
  close(): Promise<void>
}

export interface Connection extends ConnectionInit {
  /** Throws `PassingFailure` when no answer begins; so do the chunks when it stops. The status is not looked at. */
  get(url: string, options: { headers?: Record<string, string>; signal: AbortSignal | undefined }): Promise<Answer>
}

export function createConnection(init: ConnectionInit): Connection {
  const { origin } = parseHubUrl(init.hubUrl)
  if (init.accessToken !== undefined && !/^hf_[A-Za-z0-9]{1,200}$/.test(init.accessToken)) {
    throw new InvalidInputError('HF_TOKEN', 'expected an access token that begins with hf_')
  }
  const authorization = init.accessToken === undefined ? {} : { authorization: `Bearer ${init.accessToken}` }
  return {
    ...init,
    async get(url, { headers, signal }) {
      const isHub = URL.parse(url)?.origin === origin
      // Asked for as they are: a byte range of compressed bytes would be one of other bytes.
      const all = { 'accept-encoding': 'identity', ...(isHub ? authorization : {}), ...headers }
      return open(url, all, init.idleTimeoutMs, signal)
    },
  }
}

function parseHubUrl(hubUrl: string): URL {
  const url = URL.parse(hubUrl)
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === '' && !/[?#]|\/$/.test(hubUrl)) return url
  throw new InvalidInputError(
    'HF_ENDPOINT',
    'expected an address such as https://hub.example, with no slash at its end',
  )
}

async function open(
  url: string,
  headers: Record<string, string>,
  idleTimeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const idle = createIdleTimer(idleTimeoutMs)
  const signals = signal === undefined ? [idle.signal] : [idle.signal, signal]
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.any(signals) })
    return {
      response,
      chunks: readChunks(response, idle),
      async close() {
        idle.stop()
        await response.body?.cancel().catch(() => undefined)
      },
    }
  } catch (error) {
    idle.stop()
    throw failureOfConnection(error)
  }
}

async function* readChunks(response: Response, idle: IdleTimer): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = response.body?.getReader()
  try {
    while (reader !== undefined) {
      idle.start()
      const { done, value } = await reader.read()
      idle.stop()
      if (done) return
      yield value
    }
  } catch (error) {
    throw failureOfConnection(error)
  } finally {
    idle.stop()
    reader?.releaseLock()
  }
}

interface IdleTimer {
  readonly signal: AbortSignal
  start(): void
  stop(): void
}

/** Runs from the beginning. What the reader does with a piece is not the server's silence: it is stopped meanwhile. */
function createIdleTimer(idleTimeoutMs: number): IdleTimer {
  const silent = new AbortController()
  const what = `nothing came for ${idleTimeoutMs / 1000} seconds`
  const begin = () => setTimeout(() => silent.abort(new PassingFailure(what)), idleTimeoutMs)
  let timer = begin()
  return {
    signal: silent.signal,
    start() {
      clearTimeout(timer)
      timer = begin()
    },
    stop: () => clearTimeout(timer),
  }
}
