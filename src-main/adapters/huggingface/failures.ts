/** How fetching fails: what is worth another try, after how long, and the sentence for what is not. */
import { CodedError } from '#contracts/errors.ts'
import { DownloadError } from '#core/errors.ts'

/** A failure that another try may not meet: a cut or silent connection, a busy or broken server. */
export class PassingFailure extends Error {
  /** What the server asked for; null when it named no time. */
  readonly retryAfterMs: number | null
  /** The network itself was not there: nothing was heard from anyone. */
  readonly isUnreachable: boolean

  constructor(
    what: string,
    init: { readonly retryAfterMs?: number | null; readonly isUnreachable?: boolean; readonly cause?: unknown } = {},
  ) {
    super(what, { cause: init.cause })
    this.name = 'PassingFailure'
    this.retryAfterMs = init.retryAfterMs ?? null
    this.isUnreachable = init.isUnreachable ?? false
  }
}

/** Pure: null for an answer that can be used. */
export function failureOfResponse(where: string, response: Response): PassingFailure | DownloadError | null {
  const { status, headers } = response
  if (status === 200 || status === 206) return null
  if (status === 408 || status === 429 || status >= 500) {
    const retryAfterMs = parseRetryAfter(headers.get('retry-after'), Date.now())
    return new PassingFailure(status === 429 ? 'the hub asks to slow down' : `the hub said ${status}`, { retryAfterMs })
  }
  return new DownloadError(where, refusal(status, headers.get('x-error-code')))
}

/** The hub says 401 also for what does not exist, so that the names of private models do not show. */
function refusal(status: number, code: string | null): string {
  const login = 'set HF_TOKEN to the access token of an account that may read it'
  if (code === 'GatedRepo') return `its makers want their terms accepted first: do that on its page, and ${login}`
  if (code === 'RevisionNotFound') return 'there is no such revision'
  if (status === 401 || status === 403) return `there is no such model, or it is not public: ${login}`
  if (status === 404) return 'the hub does not have it'
  if (status === 416) return 'the file at the hub is shorter than the hub stated'
  return `the hub said ${status}`
}

/** Seconds or a date (RFC 9110, 10.2.3); null for anything else. */
export function parseRetryAfter(value: string | null, nowMs: number): number | null {
  if (value === null) return null
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs)
}

const unreachable = /^(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ENETDOWN|EHOSTUNREACH|UND_ERR_CONNECT_TIMEOUT)$/

/** What `fetch` or a body's reader threw, as a failure of ours; what has a name already stays as it is. */
export function failureOfConnection(error: unknown): unknown {
  if (error instanceof PassingFailure || error instanceof CodedError) return error
  if (error instanceof Error && error.name === 'AbortError') return error
  const code = codeIn(error) ?? 'the connection was cut'
  return new PassingFailure(code, { isUnreachable: unreachable.test(code), cause: error })
}

/** Node's `fetch` fails with `fetch failed` and keeps the system's word in the cause. */
function codeIn(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  if ('code' in error && typeof error.code === 'string') return error.code
  return codeIn(error.cause) ?? (error instanceof AggregateError ? codeIn(error.errors[0]) : null)
}

export function unreachableError(where: string, failure: PassingFailure): DownloadError {
  const what = `cannot be reached (${failure.message}); is this machine online?`
  return new DownloadError(where, what, { cause: failure })
}
