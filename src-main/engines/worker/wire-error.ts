/**
 * Errors between worker and client. A named error arrives as the class it was thrown as, so that `instanceof` holds on both
 * sides; any other keeps its name and message, and its code if it has one.
 */
import * as z from 'zod'
import { CodedError, type ErrorParams, errorCodes, InvalidInputError } from '#contracts/errors.ts'
import {
  ContextTooLongError,
  EngineFailedError,
  ModelFormatError,
  ModelNotFoundError,
  ModelUnsupportedError,
  PatchMismatchError,
  StorageError,
} from '#core/errors.ts'
import { EngineMisuseError } from '../shared/misuse.ts'

const paramSchema = z.union([z.string(), z.number(), z.boolean(), z.array(z.number())])

export const wireErrorSchema = z.strictObject({
  name: z.string(),
  message: z.string(),
  /** Null for errors without a code. */
  coded: z.strictObject({ code: z.enum(errorCodes), params: z.record(z.string(), paramSchema) }).nullable(),
})
export type WireError = z.infer<typeof wireErrorSchema>

export function toWireError(error: unknown): WireError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), coded: null }
  const { name, message } = error
  const coded = error instanceof CodedError ? { code: error.code, params: { ...error.params } as WireParams } : null
  return { name, message, coded }
}
type WireParams = NonNullable<WireError['coded']>['params']

export function fromWireError({ name, message, coded }: WireError): Error {
  if (coded === null) return uncoded(name, message)
  const { code, params } = coded
  const revived = reviveNamed(name, message, params) ?? new CodedError(code, message, params)
  // A class may put its words together in a new way; those of the one who threw are the ones to keep.
  if (revived.message !== message) revived.message = message
  return revived
}

function uncoded(name: string, message: string): Error {
  if (name === 'RangeError') return new RangeError(message)
  if (name === 'TypeError') return new TypeError(message)
  const error = new Error(message)
  error.name = name
  return error
}

/** Null for a class that no engine or model store throws. */
function reviveNamed(name: string, message: string, params: ErrorParams): CodedError | null {
  const text = (key: string) => String(params[key] ?? '')
  switch (name) {
    case 'ContextTooLongError':
      return new ContextTooLongError(Number(params['wanted']), Number(params['maximum']))
    case 'EngineFailedError':
      return new EngineFailedError(text('backend'), text('why'))
    case 'EngineMisuseError':
      return new EngineMisuseError(message)
    case 'InvalidInputError':
      return new InvalidInputError(text('where'), text('what'))
    case 'ModelFormatError':
      return new ModelFormatError(text('where'), text('what'))
    case 'ModelNotFoundError':
      return new ModelNotFoundError(text('model'))
    case 'ModelUnsupportedError':
      return new ModelUnsupportedError(text('what'), params)
    case 'PatchMismatchError':
      return new PatchMismatchError(text('where'), text('what'))
    case 'StorageError':
      return new StorageError(text('where'), text('what'))
    default:
      return null
  }
}
