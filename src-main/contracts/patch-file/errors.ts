import { CodedError } from '../errors.ts'

/** A patch file contradicts its format, its digests or its signature. `where` names the field, tensor or byte offset. */
export class PatchFormatError extends CodedError {
  constructor(where: string, what: string, options?: { cause?: unknown }) {
    super('patch-format', `${where}: ${what}`, { where, what }, options)
  }
}

/** A patch is for another base model. Found by digest, before any tensor is read. */
export class WrongBaseError extends CodedError {
  constructor(expected: string, actual: string) {
    super('wrong-base', `the patch is for base ${actual}, not ${expected}`, { expected, actual })
  }
}
