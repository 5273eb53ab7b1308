/** The port's rules about sessions, the same for every engine: what is refused, by which error, before any work. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { formatSpan, type Span, spanCovers, spanLength } from '#contracts/span.ts'
import { ContextTooLongError } from '#core/errors.ts'
import type { SessionInit } from '#core/ports/engine.ts'
import { EngineMisuseError } from './misuse.ts'

/** What an engine knows of a session of its own, as far as the rules go. */
export interface SessionState {
  readonly span: Span
  readonly length: number
  readonly maxLength: number
  /** A call on it is under way. */
  readonly busy: boolean
  readonly disposed: boolean
}

/**
 * Throws `RangeError` for a length below 1 or blocks that are not in `loaded`, `ContextTooLongError` past the model's
 * context. -> the session's blocks
 */
export function checkOpen(config: ModelConfig, loaded: Span, { maxLength, span = loaded }: SessionInit): Span {
  if (!Number.isInteger(maxLength) || maxLength < 1) throw new RangeError(`a session of ${maxLength} positions`)
  if (maxLength > config.contextLength) throw new ContextTooLongError(maxLength, config.contextLength)
  checkSubSpan(loaded, span)
  return span
}

/** Throws `RangeError` unless `span` is some of the blocks of `loaded`. */
export function checkSubSpan(loaded: Span, span: Span): void {
  if (spanCovers(loaded, span) && span.start < span.end) return
  throw new RangeError(`blocks ${formatSpan(span)} asked of ${formatSpan(loaded)}`)
}

export function checkUsable({ disposed }: Pick<SessionState, 'disposed'>): void {
  if (disposed) throw new EngineMisuseError('the session is disposed')
}

export function checkIdle(session: SessionState): void {
  checkUsable(session)
  if (session.busy) throw new EngineMisuseError('calls on one session must not overlap')
}

/** For truncating and forking. Throws `RangeError` unless 0 <= wanted <= length. */
export function checkPrefix({ length }: SessionState, wanted: number): void {
  if (Number.isInteger(wanted) && wanted >= 0 && wanted <= length) return
  throw new RangeError(`the first ${wanted} of ${length} positions`)
}

/**
 * Throws `RangeError` unless the session is empty and `cache` is whole positions, (blocks, 2, length, kvWidth), at most
 * `maxLength` of them. -> how many
 */
export function checkImport(session: SessionState, cache: Float32Array, config: ModelConfig): number {
  if (session.length > 0) throw new RangeError(`a cache for a session that holds ${session.length} positions`)
  const positions = cache.length / (spanLength(session.span) * 2 * config.kvHeadCount * config.headSize)
  if (Number.isInteger(positions) && positions <= session.maxLength) return positions
  throw new RangeError(`${cache.length} elements are not a cache of at most ${session.maxLength} positions`)
}
