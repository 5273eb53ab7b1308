/** A backward request, checked and completed, in the order in which all engines refuse: misuse, shapes, length, choice. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { formatSpan, type Span } from '#contracts/span.ts'
import { ContextTooLongError, PatchMismatchError } from '#core/errors.ts'
import type { BackwardRequest, TrainedParameter } from '#core/ports/engine.ts'
import { checkSubSpan, type SessionState } from './check-session.ts'
import { checkOwn, type FindSession } from './check-steps.ts'
import { EngineMisuseError } from './misuse.ts'
import { checkIndices } from './patch-check.ts'
import { locateTensor, scaleSize, type TensorTarget } from './patch-target.ts'
import { countRows } from './rows.ts'

export interface CheckedBackward<S extends SessionState> {
  readonly span: Span
  readonly tokens: number
  /** Of the first token. */
  readonly position: number
  readonly after: S | undefined
}

/**
 * Throws `EngineMisuseError` for a session that is another runner's, disposed, busy or of another span; `RangeError` for
 * blocks the runner does not hold and arrays that are not rows alike; `ContextTooLongError` past the model's context;
 * `PatchMismatchError` for parameters that are not in the span.
 */
export function checkBackward<S extends SessionState>(
  request: BackwardRequest,
  find: FindSession<S>,
  { config, loaded }: { config: ModelConfig; loaded: Span },
): CheckedBackward<S> {
  const { span = loaded, hidden, outputGradient, parameters = [] } = request
  const after = request.after && checkOwn(request.after, find)
  if (after && (after.span.start !== span.start || after.span.end !== span.end)) {
    throw new EngineMisuseError(`blocks ${formatSpan(span)} after a session of ${formatSpan(after.span)}`)
  }
  checkSubSpan(loaded, span)
  const tokens = countRows(hidden, config.hiddenSize)
  if (outputGradient.length !== hidden.length) {
    throw new RangeError(`a gradient of ${outputGradient.length} elements for ${hidden.length}`)
  }
  const position = after?.length ?? 0
  if (position + tokens > config.contextLength) {
    throw new ContextTooLongError(position + tokens, config.contextLength)
  }
  for (const parameter of parameters) checkParameter(parameter, config, span)
  return { span, tokens, position, after }
}

/** Throws `PatchMismatchError` for a parameter the model does not have in `span`, and for entries of anything but a matrix. */
function checkParameter(parameter: TrainedParameter, config: ModelConfig, span: Span): void {
  if (parameter.kind === 'scale') {
    scaleSize(config, parameter.block, parameter.target)
    checkInside(`block ${parameter.block}`, parameter.block, span)
    return
  }
  const target = locateTensor(config, parameter.name)
  checkInside(parameter.name, target.kind === 'block' ? target.block : -1, span)
  if (parameter.kind === 'entries') checkEntries(parameter.name, parameter.indices, target)
}

/** Throws `PatchMismatchError` unless `indices` are entries of a matrix. */
export function checkEntries(name: string, indices: Uint32Array, { shape }: TensorTarget): void {
  if (shape.length !== 2) throw new PatchMismatchError(name, 'is no matrix: its gradient is taken whole')
  checkIndices(name, indices, shape)
}

function checkInside(where: string, block: number, span: Span): void {
  if (block >= span.start && block < span.end) return
  throw new PatchMismatchError(where, `is not in blocks ${formatSpan(span)}`)
}
