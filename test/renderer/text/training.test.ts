import { describe, expect, test } from 'vitest'
import { dataWarnings, runPhases, waitReasons } from '#contracts/api/training.ts'
import { trainingMethods } from '#contracts/patch-file/header.ts'
import { readingInWords, warningInWords, warningName } from '#renderer/text/data.ts'
import { droppedInWords, placeOf, tensorName } from '#renderer/text/patches.ts'
import {
  formatRemaining,
  methodWords,
  metricInWords,
  phaseWords,
  progressInWords,
  runHeadline,
  runInShort,
} from '#renderer/text/training.ts'

const progress = {
  phase: 'training',
  done: 120,
  total: 400,
  step: 120,
  steps: 400,
  tokensPerSecond: 812.4,
  remainingSeconds: 201,
  resumedFromStep: null,
} as const

describe('runs in words', () => {
  test('say what is done, how far it is, how fast, and how long still', () => {
    expect(progressInWords(progress)).toBe('120 of 400 steps, 812 tokens/s, about 3 min 30 s still.')
    expect(
      progressInWords({ ...progress, phase: 'writing', total: 0, tokensPerSecond: null, remainingSeconds: null }),
    ).toBe('This takes a moment.')
    expect(runInShort({ state: { kind: 'running', phase: 'training' }, progress })).toBe('Training: step 120 of 400')
    expect(runInShort({ state: { kind: 'paused' }, progress })).toBe('Paused by you at step 120 of 400')
  })

  test('have a sentence for every phase, reason and method', () => {
    for (const phase of runPhases) expect(phaseWords[phase].doing).toMatch(/^[A-Z]/)
    for (const reason of waitReasons) {
      expect(runHeadline({ state: { kind: 'waiting', reason }, progress: null })).toMatchObject({
        title: expect.stringMatching(/^Waiting: /),
        detail: expect.stringMatching(/\.$/),
      })
    }
    for (const method of trainingMethods) expect(methodWords[method].help).toMatch(/\.$/)
  })

  test('guess no finer than a guess deserves', () => {
    expect([0, 7, 44, 201, 4_000].map(formatRemaining)).toEqual(['5 s', '5 s', '45 s', '3 min 30 s', '1 h 5 min'])
  })
})

describe('measures in words', () => {
  const metric = { name: 'held-out-loss', unit: 'nats/token', before: 4.79, after: 4.12, items: 131 }

  test('a gain says by how much, within which bounds, and what it means', () => {
    const words = metricInWords({ ...metric, gain: { mean: 0.67, low: 0.63, high: 0.71 } })
    expect(words.value).toBe('Better by 0.67 (0.63 to 0.71) nats a token')
    expect(words.sentence).toContain('each right token became 1.95 times as likely')
  })

  test('a loss of questions is told by the question, and no token is spoken of', () => {
    const words = metricInWords({ ...metric, unit: 'nats/question', gain: { mean: 0.67, low: 0.63, high: 0.71 } })
    expect(words.value).toBe('Better by 0.67 (0.63 to 0.71) nats a question')
    expect(words.sentence).toBe('Loss 4.79 before, 4.12 after. Measured on 131 held-out examples.')
  })

  test('what could be chance is called so', () => {
    const words = metricInWords({ ...metric, gain: { mean: 0.01, low: -0.02, high: 0.04 } })
    expect(words.sentence).toContain('no difference that could be told from chance')
  })

  test('forgetting is named, with its bounds the right way round', () => {
    const words = metricInWords({ ...metric, name: 'base-text-loss', gain: { mean: -0.15, low: -0.17, high: -0.13 } })
    expect(words.value).toBe('Forgot: 0.15 (0.13 to 0.17) nats a token')
    expect(words.sentence).toContain('0.861 times as likely')
  })

  test('a measure of a later version keeps its name', () => {
    const words = metricInWords({ ...metric, name: 'spelling-errors', unit: '%', gain: { mean: 1, low: 0.5, high: 2 } })
    expect(words.title).toBe('Spelling errors')
  })
})

describe('data in words', () => {
  test('every warning has a title and what to do', () => {
    for (const kind of dataWarnings) {
      const words = warningInWords({ kind, count: 2, where: 'a.txt, line 3' })
      expect(words.title).toMatch(/^[A-Z][^.]*$/)
      expect(words.advice).toMatch(/^[A-Z].*\.$/)
      expect(words.where).toBe('First at a.txt, line 3.')
      expect(warningName(kind)).not.toBe(kind)
    }
    expect(warningName('of-a-later-version')).toBe('of-a-later-version')
  })

  test('reading says how far it is as soon as that is known', () => {
    expect(readingInWords(0, 0)).toBe('Reading your text.')
    expect(readingInWords(512, 2048)).toBe('Reading your text: 512 B of 2 KiB.')
  })
})

describe('tensors in words', () => {
  test('name the block and what of it, and keep what they do not know', () => {
    expect(tensorName('model.layers.3.mlp.down_proj.weight')).toBe('block 3, feed-forward, down')
    expect(tensorName('lm_head.weight')).toBe('output (head)')
    expect(placeOf('model.layers.12.experts.0.weight')).toEqual({ block: 12, role: 'experts.0.weight' })
    expect(placeOf('something\u202Eelse')).toEqual({ block: null, role: 'somethingelse' })
  })
})

test('a peer that was left out is named by the end of its id', () => {
  const words = droppedInWords({ peerId: `12D3KooW${'x'.repeat(40)}Kp9xYz12`, why: 'wrong\u0007 bytes' })
  expect(words).toBe('…Kp9xYz12 was left out: wrong bytes. The fetch goes on with others.')
})
