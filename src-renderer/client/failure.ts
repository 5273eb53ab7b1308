/**
 * Anything thrown by a call, as the code and parameters that the wording registry knows. Every answer of the node comes
 * as an `ORPCError` or, inside a stream, an `ErrorEvent`; whatever else is thrown is the connection going away.
 */
import { ErrorEvent, ORPCError } from '@orpc/client'
import { type ErrorCode, type ErrorParams, errorCodes } from '#contracts/errors.ts'
import type { Failure } from '../text/errors.ts'

const known: ReadonlySet<unknown> = new Set(errorCodes)

function isErrorCode(value: unknown): value is ErrorCode {
  return known.has(value)
}

export function toFailure(error: unknown): Failure {
  if (error instanceof ORPCError) return failureOfAnswer(error)
  if (error instanceof ErrorEvent) return { code: 'internal', params: {} }
  return { code: 'connection-lost', params: {} }
}

function failureOfAnswer(error: ORPCError<string, unknown>): Failure {
  const data: unknown = error.data
  if (typeof data === 'object' && data !== null && 'code' in data && isErrorCode(data.code)) {
    return { code: data.code, params: 'params' in data ? paramsOf(data.params) : {} }
  }
  return { code: error.code === 'BAD_REQUEST' ? 'invalid-input' : 'internal', params: {} }
}

function paramsOf(value: unknown): ErrorParams {
  return typeof value === 'object' && value !== null ? (value as ErrorParams) : {}
}
