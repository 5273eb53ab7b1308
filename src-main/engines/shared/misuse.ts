import { CodedError } from '#contracts/errors.ts'

/** The caller broke the port's rules: overlapping calls on one session, or use after dispose. */
export class EngineMisuseError extends CodedError {
  constructor(what: string) {
    super('internal', what)
  }
}
