import { CodedError, codeOf, type ErrorCode } from '#contracts/errors.ts'

export interface Failure {
  readonly code: ErrorCode
  readonly params: Record<string, string | number | boolean | number[]>
}

/** What crosses the API when something fails: nothing of the stack, and no path that is not in the parameters. */
export function failureOf(error: unknown): Failure {
  const params = error instanceof CodedError ? Object.entries(error.params) : []
  const own = params.map(([name, value]) => [name, typeof value === 'object' ? [...value] : value])
  return { code: codeOf(error), params: Object.fromEntries(own) }
}
