import { CodedError } from '../errors.ts'

/** Bytes from a peer that no honest peer of this version sends. `where` names the message or field, `what` the complaint. */
export class ProtocolViolationError extends CodedError {
  constructor(where: string, what: string, options?: { cause?: unknown }) {
    super('protocol-violation', `${where}: ${what}`, { where, what }, options)
  }
}
