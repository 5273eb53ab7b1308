import { describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import type { MaskChoice } from '#contracts/patch-file/header.ts'
import { PatchMismatchError, TrainingFailedError } from '#core/errors.ts'
import { elementCount, expectedTensors } from '#core/models/expected-tensors.ts'
import {
  chosenCount,
  type MaskTensor,
  maskCandidates,
  modelParameterCount,
  selectMask,
  selectRandomMask,
  type TensorScores,
} from '#core/training/mask.ts'
import { parametersOf } from '#core/training/parameters.ts'
import { createRandom, tinyConfig } from '#test/fakes/model-handle.ts'

const config = tinyConfig({ blockCount: 2, hiddenSize: 16, intermediateSize: 24, headCount: 2, headSize: 8 })
const tied = { ...config, tiedHead: true }
const { head, embedding, finalNorm } = tensorNames
const headSize = config.vocabularySize * config.hiddenSize

function choice(changes: Partial<MaskChoice> = {}): MaskChoice {
  return { keepRatio: 0.02, quota: 'joint', scope: 'all', head: 'in-budget', fisher: null, ...changes }
}

function randomScores(seed: number, of = config): TensorScores[] {
  const random = createRandom(seed)
  return expectedTensors(of).map(({ name, shape }) => ({
    tensor: name,
    scores: Float32Array.from({ length: elementCount(shape) }, () => Math.abs(random())),
  }))
}

function countOf(mask: readonly MaskTensor[]): number {
  return mask.reduce((sum, { indices }) => sum + indices.length, 0)
}

function names(mask: readonly MaskTensor[]): string[] {
  return mask.map(({ tensor }) => tensor)
}

describe('a mask', () => {
  it('has round(keepRatio x all parameters) entries, whatever its quota and scope', () => {
    const k = Math.round(0.02 * modelParameterCount(config))
    for (const quota of ['joint', 'per-tensor'] as const) {
      for (const scope of ['all', 'blocks'] as const) {
        for (const headPolicy of ['in-budget', 'excluded'] as const) {
          const wanted = choice({ quota, scope, head: headPolicy })
          expect(countOf(selectMask(randomScores(1), wanted, config))).toBe(k)
          expect(countOf(selectRandomMask(wanted, config, 7))).toBe(k)
        }
      }
    }
  })

  it('jointly has the highest scores of all tensors together', () => {
    const scores = randomScores(2)
    const mask = selectMask(scores, choice(), config)
    const threshold = scores
      .flatMap((each) => [...each.scores])
      .sort((a, b) => b - a)
      .at(chosenCount(choice(), config) - 1) as number
    for (const { tensor, scores: own } of scores) {
      const expected = [...own.keys()].filter((i) => (own[i] as number) >= threshold)
      expect([...(mask.find((each) => each.tensor === tensor)?.indices ?? [])]).toEqual(expected)
    }
  })

  it('per tensor has the same share of each', () => {
    const mask = selectMask(randomScores(3), choice({ quota: 'per-tensor', scope: 'blocks', keepRatio: 0.1 }), config)
    const candidates = maskCandidates(choice({ scope: 'blocks' }), config)
    const share = countOf(mask) / candidates.reduce((sum, { shape }) => sum + elementCount(shape), 0)
    expect(mask.length).toBe(candidates.length)
    for (const { shape, indices } of mask) {
      expect(Math.abs(indices.length - share * elementCount(shape))).toBeLessThan(1)
    }
  })

  it('leaves norms, embedding and head alone where the scope is the blocks', () => {
    const mask = selectMask(randomScores(4), choice({ scope: 'blocks', keepRatio: 0.9 }), config)
    expect(mask.every(({ shape }) => shape.length === 2)).toBe(true)
    for (const end of [embedding, finalNorm, head]) expect(names(mask)).not.toContain(end)
  })

  it('takes the first positions of equal scores, in the order of the forward pass', () => {
    const equal = randomScores(1).map(({ tensor, scores }) => ({ tensor, scores: scores.fill(1) }))
    const mask = selectMask(equal, choice(), config)
    expect(mask).toEqual([
      {
        tensor: embedding,
        shape: [config.vocabularySize, config.hiddenSize],
        indices: Uint32Array.from({ length: chosenCount(choice(), config) }, (_, i) => i),
      },
    ])
  })

  it('holds an untied head by its policy: competing, whole beside the rest, or not at all', () => {
    const scores = randomScores(5).map((each) =>
      each.tensor === head ? { ...each, scores: each.scores.map((score) => score + 2) } : each,
    )
    const k = chosenCount(choice(), config)
    expect(names(selectMask(scores, choice(), config))).toEqual([head])
    const free = selectMask(scores, choice({ head: 'free' }), config)
    expect(free.find(({ tensor }) => tensor === head)?.indices.length).toBe(headSize)
    expect(countOf(free)).toBe(k + headSize)
    expect(countOf(selectMask(scores, choice({ head: 'free', scope: 'blocks' }), config))).toBe(k + headSize)
    expect(names(selectMask(scores, choice({ head: 'excluded' }), config))).not.toContain(head)
  })

  it('of a tied head knows no policy: the embedding competes like any tensor', () => {
    const scores = randomScores(6, tied)
    const masks = (['in-budget', 'free', 'excluded'] as const).map((policy) =>
      selectMask(scores, choice({ head: policy }), tied),
    )
    expect(masks[1]).toEqual(masks[0])
    expect(masks[2]).toEqual(masks[0])
    expect(names(masks[0] ?? [])).toContain(embedding)
  })

  it('at random depends on the seed alone, and on every position alike', () => {
    const one = selectRandomMask(choice(), config, 1)
    expect(selectRandomMask(choice(), config, 1)).toEqual(one)
    expect(selectRandomMask(choice(), config, 2)).not.toEqual(one)
    const hits = new Map<string, number>()
    for (let seed = 0; seed < 200; seed++) {
      for (const { tensor, indices } of selectRandomMask(choice(), config, seed)) {
        hits.set(tensor, (hits.get(tensor) ?? 0) + indices.length)
      }
    }
    const rate = chosenCount(choice(), config) / modelParameterCount(config)
    for (const { name, shape } of expectedTensors(config)) {
      const expected = 200 * rate * elementCount(shape)
      expect(Math.abs((hits.get(name) ?? 0) - expected)).toBeLessThan(5 * Math.sqrt(expected))
    }
  })

  it('keeps one number at least and all at most', () => {
    expect(countOf(selectMask(randomScores(1), choice({ keepRatio: 1e-9 }), config))).toBe(1)
    const whole = selectMask(randomScores(1), choice({ keepRatio: 1 }), config)
    expect(countOf(whole)).toBe(modelParameterCount(config))
    expect(parametersOf('fish', config, whole).every(({ kind }) => kind === 'tensor')).toBe(true)
  })

  it('is refused for scores of another model, or that are none', () => {
    expect(() => selectMask(randomScores(1).slice(1), choice(), config)).toThrow(PatchMismatchError)
    const short = randomScores(1).map((each) => ({ ...each, scores: each.scores.slice(1) }))
    expect(() => selectMask(short, choice(), config)).toThrow(PatchMismatchError)
    const broken = randomScores(1)
    broken[0]?.scores.fill(Number.NaN)
    expect(() => selectMask(broken, choice(), config)).toThrow(TrainingFailedError)
  })
})

describe('what is trained', () => {
  it('is every scale of every block for (IA)³, every tensor for all, and the entries of a mask', () => {
    expect(parametersOf('ia3', config, null)).toEqual(
      [0, 1].flatMap((block) =>
        (['key', 'value', 'feedForward'] as const).map((target) => ({ kind: 'scale', block, target })),
      ),
    )
    expect(parametersOf('full', config, null)).toEqual(
      expectedTensors(config).map(({ name }) => ({ kind: 'tensor', name })),
    )
    const mask = selectMask(randomScores(1), choice(), config)
    expect(parametersOf('fish', config, mask)).toEqual(
      mask.map(({ tensor, indices }) => ({ kind: 'entries', name: tensor, indices })),
    )
  })
})
