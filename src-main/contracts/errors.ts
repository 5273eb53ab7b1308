/**
 * Every failure that another part of the product must understand has a code and parameters; the sentence a person reads
 * belongs to whoever shows it (`src-renderer/text/errors.ts`, the CLI). `message` is for logs and developers.
 */

/** All codes that may cross the API or the wire. Append only: a code is never reused for something else. */
export const errorCodes = [
  'internal',
  'invalid-input',
  'cancelled',
  'model-not-found',
  'model-format',
  'model-unsupported',
  'tokenizer-format',
  'context-too-long',
  'missing-blocks',
  'peer-lost',
  'session-refused',
  'protocol-violation',
  'budget-exceeded',
  'paused',
  'ledger-corrupt',
  'ledger-newer',
  'profile-locked',
  'not-running',
  'port-in-use',
  'storage-failed',
  'engine-failed',
  'patch-mismatch',
  'download-failed',
  'patch-format',
  'patch-not-found',
  'wrong-base',
  'patch-unavailable',
  'quota-exceeded',
  'data-format',
  'run-not-found',
  'run-state',
  'training-failed',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** What an error says besides its code: small, plain values that a sentence can be made of. */
export type ErrorParams = Readonly<Record<string, string | number | boolean | readonly number[]>>

/** A failure with a code. Subclasses name the situation; `cause` keeps what led to it. */
export class CodedError extends Error {
  readonly code: ErrorCode
  readonly params: ErrorParams

  constructor(code: ErrorCode, message: string, params: ErrorParams = {}, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.params = params
  }
}

/** Input from outside did not fit its schema: `where` names the field or offset, `what` the complaint. */
export class InvalidInputError extends CodedError {
  constructor(where: string, what: string, options?: { cause?: unknown }) {
    super('invalid-input', `${where}: ${what}`, { where, what }, options)
  }
}

/** The code of anything thrown: its own, `cancelled` for an abort, else `internal`. */
export function codeOf(error: unknown): ErrorCode {
  if (error instanceof CodedError) return error.code
  if (error instanceof Error && error.name === 'AbortError') return 'cancelled'
  return 'internal'
}
