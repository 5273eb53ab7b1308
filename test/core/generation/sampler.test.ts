import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSampler, LogitsError, type SamplerOptions } from '#core/generation/sampler.ts'

const plain: SamplerOptions = { temperature: 1, topK: 0, topP: 1, seed: 7 }

function logitsOf(...values: number[]): Float32Array {
  return new Float32Array(values)
}

/** Logits whose softmax at temperature 1 is `probabilities`. */
function withProbabilities(...probabilities: number[]): Float32Array {
  return new Float32Array(probabilities.map((p) => Math.log(p)))
}

function drawMany(options: SamplerOptions, logits: Float32Array, count: number): number[] {
  const sample = createSampler(options)
  const seen = new Array<number>(logits.length).fill(0)
  for (let i = 0; i < count; i++) {
    const token = sample(logits)
    seen[token] = (seen[token] ?? 0) + 1
  }
  return seen
}

function tokensDrawn(options: SamplerOptions, logits: Float32Array, count = 2000): number[] {
  return drawMany(options, logits, count).flatMap((seen, token) => (seen > 0 ? [token] : []))
}

function chiSquare(seen: readonly number[], probabilities: readonly number[]): number {
  const total = seen.reduce((a, b) => a + b, 0)
  return seen.reduce((sum, count, token) => {
    const expected = total * (probabilities[token] ?? 0)
    return expected === 0
      ? sum + (count === 0 ? 0 : Number.POSITIVE_INFINITY)
      : sum + (count - expected) ** 2 / expected
  }, 0)
}

describe('greedy', () => {
  test('temperature 0 takes the largest logit, whatever topK, topP and seed say', () => {
    const sample = createSampler({ temperature: 0, topK: 2, topP: 0.1, seed: 1 })
    expect(sample(logitsOf(-1, 3, 2.5))).toBe(1)
  })

  test('of equal logits the lowest id is taken', () => {
    expect(createSampler({ ...plain, temperature: 0 })(logitsOf(0, 5, 5, 5))).toBe(1)
  })
})

describe('drawing', () => {
  test('tokens come as often as the softmax says', () => {
    const probabilities = [0.5, 0.25, 0.125, 0.1, 0.025]
    const seen = drawMany(plain, withProbabilities(...probabilities), 20_000)
    expect(chiSquare(seen, probabilities)).toBeLessThan(23) // 4 degrees of freedom: p = 0.0001
  })

  test('temperature sharpens and flattens', () => {
    const squared = [0.64, 0.04].map((p) => p / 0.68)
    const seen = drawMany({ ...plain, temperature: 0.5 }, withProbabilities(0.8, 0.2), 20_000)
    expect(chiSquare(seen, squared)).toBeLessThan(15)
    const flat = drawMany({ ...plain, temperature: 10 }, logitsOf(0, 1), 20_000)
    expect((flat[1] ?? 0) / 20_000).toBeCloseTo(1 / (1 + Math.exp(-0.1)), 1)
  })

  test('a temperature next to nothing is greedy, and logits of any size do not overflow', () => {
    expect(tokensDrawn({ ...plain, temperature: 1e-30 }, logitsOf(1, 1.5, 1.25), 50)).toEqual([1])
    expect(tokensDrawn(plain, logitsOf(3e38, -3e38, 2e38), 50)).toEqual([0])
  })

  test('the same seed draws the same tokens, another seed others', () => {
    const logits = withProbabilities(0.25, 0.25, 0.25, 0.25)
    const run = (seed: number) => {
      const sample = createSampler({ ...plain, seed })
      return Array.from({ length: 40 }, () => sample(logits))
    }
    expect(run(3)).toEqual(run(3))
    expect(run(3)).not.toEqual(run(4))
  })
})

describe('top-k', () => {
  test('only the k likeliest are drawn, in their old proportions', () => {
    const seen = drawMany({ ...plain, topK: 2 }, withProbabilities(0.1, 0.4, 0.2, 0.3), 20_000)
    expect(chiSquare(seen, [0, 4 / 7, 0, 3 / 7])).toBeLessThan(15)
  })

  test('of equals at the border the lowest ids are kept', () => {
    expect(tokensDrawn({ ...plain, topK: 2 }, logitsOf(1, 1, 1, 1))).toEqual([0, 1])
  })

  test('k of 1 is greedy, and k of the vocabulary or more keeps all', () => {
    const logits = withProbabilities(0.2, 0.5, 0.3)
    expect(tokensDrawn({ ...plain, topK: 1 }, logits)).toEqual([1])
    expect(tokensDrawn({ ...plain, topK: 3 }, logits)).toEqual([0, 1, 2])
    expect(tokensDrawn({ ...plain, topK: 4_000_000 }, logits)).toEqual([0, 1, 2])
  })
})

describe('top-p', () => {
  test('the smallest set that reaches p is kept', () => {
    const logits = withProbabilities(0.1, 0.4, 0.2, 0.3)
    expect(tokensDrawn({ ...plain, topP: 0.39 }, logits)).toEqual([1])
    expect(tokensDrawn({ ...plain, topP: 0.41 }, logits)).toEqual([1, 3])
    expect(tokensDrawn({ ...plain, topP: 0.89 }, logits)).toEqual([1, 2, 3])
  })

  test('a tiny p keeps the likeliest token', () => {
    expect(tokensDrawn({ ...plain, topP: 1e-12 }, withProbabilities(0.4, 0.6))).toEqual([1])
  })

  test('it is measured after top-k, on what top-k kept', () => {
    // 0.4 is 0.57 of what k = 2 leaves, so p = 0.5 keeps it alone; of everything it would be too little.
    const logits = withProbabilities(0.1, 0.4, 0.2, 0.3)
    expect(tokensDrawn({ ...plain, topK: 2, topP: 0.5 }, logits)).toEqual([1])
    expect(tokensDrawn({ ...plain, topP: 0.5 }, logits)).toEqual([1, 3])
  })

  test('it is measured after temperature', () => {
    const logits = withProbabilities(0.6, 0.4)
    expect(tokensDrawn({ ...plain, topP: 0.65 }, logits)).toEqual([0, 1])
    expect(tokensDrawn({ ...plain, topP: 0.65, temperature: 0.5 }, logits)).toEqual([0])
  })
})

describe('any logits', () => {
  const logit = fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.constant(Number.NEGATIVE_INFINITY))
  const options = fc.record({
    temperature: fc.double({ min: 0.01, max: 10, noNaN: true }),
    topK: fc.nat(12),
    topP: fc.double({ min: 0.001, max: 1, noNaN: true }),
    seed: fc.nat(),
  })

  test('a drawn token is possible, among the k likeliest, and within the nucleus', () => {
    fc.assert(
      fc.property(fc.array(logit, { minLength: 1, maxLength: 12 }), options, (values, init) => {
        const logits = new Float32Array(values)
        fc.pre(logits.some((value) => value > Number.NEGATIVE_INFINITY))
        const token = createSampler(init)(logits)
        const order = [...logits.keys()].sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b)
        const kept = order.slice(0, init.topK === 0 ? undefined : init.topK)
        const largest = logits[order[0] ?? 0] ?? 0
        const weights = kept.map((id) => Math.exp(((logits[id] ?? 0) - largest) / init.temperature))
        const mass = weights.reduce((a, b) => a + b, 0)
        const rank = kept.indexOf(token)
        const before = weights.slice(0, rank).reduce((a, b) => a + b, 0)
        expect(rank).toBeGreaterThanOrEqual(0)
        expect(logits[token]).toBeGreaterThan(Number.NEGATIVE_INFINITY)
        expect(before).toBeLessThanOrEqual(init.topP * mass * (1 + 1e-9))
      }),
      { numRuns: 300 },
    )
  })

  test.each([
    ['a value that is not a number', logitsOf(1, Number.NaN, 2)],
    ['nothing possible', logitsOf(Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY)],
    ['an infinite value', logitsOf(1, Number.POSITIVE_INFINITY)],
    ['an empty vocabulary', logitsOf()],
  ])('%s is a named error', (_, logits) => {
    expect(() => createSampler(plain)(logits)).toThrow(LogitsError)
    expect(() => createSampler({ ...plain, temperature: 0 })(logits)).toThrow(LogitsError)
  })

  test('one sampler serves vocabularies of different sizes one after the other', () => {
    const sample = createSampler({ ...plain, topK: 2 })
    expect([0, 1]).toContain(sample(logitsOf(5, 5, 1)))
    expect(sample(logitsOf(1))).toBe(0)
  })
})
