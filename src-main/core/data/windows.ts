/**
 * A sequence of tokens in windows that fit the model. Every token is a target exactly once: windows that open with the begin
 * token stand side by side; without one each shares a token with the next, as a first token has nothing to be predicted from.
 */
import type { TrainingExample } from '../ports/training-engine.ts'

export interface WindowShape {
  /** Tokens at most, the begin token included; at least 2. */
  readonly sequenceLength: number
  readonly beginToken: number | null
}

/** Of plain text: cut from its start, the last window is the short one. */
export function textWindows(tokens: readonly number[], shape: WindowShape): TrainingExample[] {
  const targets = shape.sequenceLength - 1
  const examples: TrainingExample[] = []
  for (let first = firstTarget(shape); first < tokens.length; first += targets) {
    examples.push({ tokens: windowTokens(tokens, first, first + targets, shape) })
  }
  return examples
}

/**
 * Of text of which only parts are learnt: cut from its end, so that what comes last has all the context that fits. Windows
 * in which nothing is learnt are left out. `learnt[i]` is 1 where token i is.
 */
export function learntWindows(
  tokens: readonly number[],
  learnt: readonly (0 | 1)[],
  shape: WindowShape,
): TrainingExample[] {
  const targets = shape.sequenceLength - 1
  const examples: TrainingExample[] = []
  for (let end = tokens.length; end > firstTarget(shape); end -= targets) {
    const first = Math.max(firstTarget(shape), end - targets)
    const weights = Float32Array.from(learnt.slice(first, end))
    if (!weights.includes(1)) continue
    const window = windowTokens(tokens, first, end, shape)
    examples.unshift(weights.includes(0) ? { tokens: window, targetWeights: weights } : { tokens: window })
  }
  return examples
}

/** The first token that can be predicted. */
function firstTarget({ beginToken }: WindowShape): number {
  return beginToken === null ? 1 : 0
}

/** The window whose targets are tokens [first, end). */
function windowTokens(tokens: readonly number[], first: number, end: number, { beginToken }: WindowShape): number[] {
  if (beginToken === null) return tokens.slice(first - 1, end)
  const window = tokens.slice(first, end)
  window.unshift(beginToken)
  return window
}
