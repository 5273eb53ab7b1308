/**
 * From logits to one token. Temperature scales the logits first, then top-k keeps the k likeliest, then top-p keeps the
 * smallest set of those whose probabilities (renormalised after top-k) reach p; the token is drawn from what is left in
 * proportion. This is the order of Hugging Face's `generate`; top-p is the nucleus of Holtzman et al. (2020).
 */
import type { Sampling } from '#contracts/api/chat.ts'
import { CodedError } from '#contracts/errors.ts'
import { createRandom } from '../numerics/random.ts'
import { createDescendingOrder } from './descending.ts'

export type SamplerOptions = Pick<Sampling, 'temperature' | 'topK' | 'topP'> & { readonly seed: number }

/** (vocabularySize,) logits to a token id. Throws `LogitsError`. Not to be called with the vector of another model. */
export type Sampler = (logits: Float32Array) => number

/** A model's output from which no token can be drawn: weights or a computation are broken. */
export class LogitsError extends CodedError {
  constructor(what: string) {
    super('internal', `logits: ${what}`, { where: 'logits', what })
  }
}

/** Tokens that may be drawn and their unnormalised probabilities; the buffers are reused from one token to the next. */
interface Candidates {
  readonly ids: Int32Array
  readonly weights: Float64Array
  count: number
}

/** Temperature 0 is greedy, whatever else is set: the largest logit, of equals the lowest id. */
export function createSampler(options: SamplerOptions): Sampler {
  if (options.temperature === 0) return likeliest
  const random = createRandom(options.seed)
  const order = createDescendingOrder()
  let candidates = createCandidates(0)

  return (logits) => {
    const size = logits.length
    const maximum = logits[likeliest(logits)] ?? 0
    const weigh = (id: number) => Math.exp(((logits[id] ?? 0) - maximum) / options.temperature)
    if (candidates.ids.length !== size) candidates = createCandidates(size)
    const topK = options.topK === 0 ? size : Math.min(options.topK, size)

    if (topK === size && options.topP === 1) {
      take(candidates, inOrder(), weigh, size)
    } else if (topK === size) {
      const mass = sum(size, weigh)
      order.start(logits)
      take(candidates, order.next, weigh, size, options.topP * mass)
    } else {
      order.start(logits)
      take(candidates, order.next, weigh, topK)
      cutToMass(candidates, options.topP)
    }
    return draw(candidates, random())
  }
}

function createCandidates(size: number): Candidates {
  return { ids: new Int32Array(size), weights: new Float64Array(size), count: 0 }
}

/** The id of the largest logit; also the one place where logits are checked. */
function likeliest(logits: Float32Array): number {
  let best = -1
  let maximum = Number.NEGATIVE_INFINITY
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] ?? 0
    if (Number.isNaN(logit)) throw new LogitsError(`token ${id} is not a number`)
    if (logit > maximum) {
      maximum = logit
      best = id
    }
  }
  if (best === -1) throw new LogitsError('no token is possible')
  if (maximum === Number.POSITIVE_INFINITY) throw new LogitsError(`token ${best} is infinite`)
  return best
}

function inOrder(): () => number {
  let id = 0
  return () => id++
}

function sum(size: number, weigh: (id: number) => number): number {
  let mass = 0
  for (let id = 0; id < size; id++) mass += weigh(id)
  return mass
}

/** Fills `candidates` from `next`, until there are `count` or their weights reach `enoughMass`. */
function take(
  candidates: Candidates,
  next: () => number,
  weigh: (id: number) => number,
  count: number,
  enoughMass = Number.POSITIVE_INFINITY,
): void {
  let taken = 0
  for (let mass = 0; taken < count && mass < enoughMass; taken++) {
    const id = next()
    const weight = weigh(id)
    candidates.ids[taken] = id
    candidates.weights[taken] = weight
    mass += weight
  }
  candidates.count = taken
}

/** Keeps the smallest beginning of `candidates` that holds `share` of their weight. */
function cutToMass(candidates: Candidates, share: number): void {
  if (share === 1) return
  const enoughMass = share * sum(candidates.count, (slot) => candidates.weights[slot] ?? 0)
  let kept = 0
  for (let mass = 0; kept < candidates.count && mass < enoughMass; kept++) mass += candidates.weights[kept] ?? 0
  candidates.count = kept
}

/** Inverse of the cumulative distribution at `uniform` in [0, 1). A token of weight 0 is never drawn. */
function draw({ ids, weights, count }: Candidates, uniform: number): number {
  let left = uniform * sum(count, (slot) => weights[slot] ?? 0)
  let drawn = ids[0] ?? 0
  for (let slot = 0; slot < count; slot++) {
    const weight = weights[slot] ?? 0
    if (weight === 0) continue
    drawn = ids[slot] ?? 0
    if (left < weight) break
    left -= weight
  }
  return drawn
}
