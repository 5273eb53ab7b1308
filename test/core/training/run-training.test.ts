import { describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import { encodeValues } from '#contracts/patch-file/value-codec.ts'
import { PatchMismatchError, TrainingFailedError } from '#core/errors.ts'
import type { TrainingEngine } from '#core/ports/training-engine.ts'
import { movementScores } from '#core/training/movement.ts'
import type { RunEvent, TrainingOutcome } from '#core/training/run-types.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { randomModel } from '#test/fakes/model-handle.ts'
import {
  countingTexts,
  type PlanChanges,
  questionExamples,
  runTiny,
  smallConfig,
  tinyPlan,
  watchedEngine,
} from './tiny-run.ts'

type Checkpoint = Extract<RunEvent, { type: 'checkpoint' }>

function checkpointsOf(events: readonly RunEvent[]): Checkpoint[] {
  return events.filter((event) => event.type === 'checkpoint')
}

function phasesOf(events: readonly RunEvent[]): string[] {
  return events.flatMap((event) => (event.type === 'phase' ? [event.phase] : []))
}

function heldOutGain({ metrics }: TrainingOutcome): number {
  return metrics.find(({ name }) => name === 'held-out-loss')?.gain.mean ?? Number.NaN
}

/** All bytes that make the patch. */
function bitsOf({ content, record, metrics, roundingLoss }: TrainingOutcome) {
  return {
    deltas: content.deltas.map(({ tensor, indices, values, fisher }) => [
      tensor,
      indices,
      bits(values),
      fisher && bits(fisher),
    ]),
    scales: content.scales.map(({ block, target, values }) => [block, target, bits(values)]),
    record,
    metrics,
    roundingLoss,
  }
}

function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.slice().buffer)
}

describe('a run', () => {
  it('measures, chooses, tries rates, trains and evaluates, and tells of each', async () => {
    const { outcome, events } = await runTiny(tinyPlan())
    expect(phasesOf(events)).toEqual(['measuring', 'choosing', 'probing', 'training', 'evaluating'])
    const points = events.flatMap((event) => (event.type === 'points' ? event.points : []))
    expect(points.map(({ step }) => step)).toEqual(Array.from({ length: 13 }, (_, step) => step))
    expect(points.filter(({ heldOut }) => heldOut !== null).map(({ step }) => step)).toEqual([0, 3, 6, 9, 12])
    expect(events.filter(({ type }) => type === 'probe').length).toBe(3)
    expect(outcome.record).toMatchObject({ method: 'fish', objective: 'language-model', trainedParameters: 260 })
    expect(outcome.metrics.map(({ name }) => name)).toEqual(['held-out-loss', 'base-text-loss'])
    expect(heldOutGain(outcome)).toBeGreaterThan(0.1)
    for (const event of events) {
      if (event.type !== 'progress') continue
      expect(event.progress.done).toBeLessThanOrEqual(event.progress.total)
    }
  })

  it.each([
    ['fish', {}],
    ['fish', { mask: { quota: 'per-tensor', scope: 'blocks', fisher: { kind: 'true', examples: 6, trialSteps: 0 } } }],
    ['random', {}],
    ['magnitude', {}],
    ['ia3', { hyperParameters: { learningRate: 0.2 } }],
    ['full', { valueFormat: 'float32' }],
  ] as [PlanChanges['method'] & string, PlanChanges][])(
    'by %s makes the held-out text likelier, and only changes what it may (%o)',
    async (method, changes) => {
      const { outcome } = await runTiny(tinyPlan({ ...changes, method: method as 'fish' }))
      expect(heldOutGain(outcome)).toBeGreaterThan(0)
      const { deltas, scales } = outcome.content
      const entries = [...deltas, ...scales].reduce((sum, { values }) => sum + values.length, 0)
      expect(entries).toBe(outcome.record.trainedParameters)
      expect(deltas.length === 0).toBe(method === 'ia3')
      const names = deltas.map(({ tensor }) => tensor)
      expect(names).toEqual(names.toSorted())
      expect(scales.map(({ block }) => block)).toEqual(method === 'ia3' ? [0, 0, 0, 1, 1, 1] : [])
    },
  )

  it('by T-Few’s losses answers more questions, with base text mixed in', async () => {
    const changes = { method: 'full', protection: { kind: 'own-text', share: 0.25 } } as const
    const { outcome } = await runTiny(tinyPlan(changes, { objective: 'multiple-choice' }), {
      components: { examples: questionExamples },
    })
    expect(outcome.metrics.map(({ name, unit }) => `${name} ${unit}`)).toEqual([
      'held-out-loss nats/question',
      'held-out-accuracy share',
      'base-text-loss nats/token',
    ])
    expect(heldOutGain(outcome)).toBeGreaterThan(0)
    expect(outcome.metrics[1]?.gain.mean).toBeGreaterThan(0)
  })

  it('forgets less of the base when its text is mixed in', async () => {
    const baseGain = async (share: number) => {
      const protection = share > 0 ? ({ kind: 'own-text', share } as const) : ({ kind: 'none' } as const)
      const hyperParameters = { learningRate: 0.02, steps: 40 }
      const { outcome } = await runTiny(tinyPlan({ method: 'full', protection, hyperParameters, patience: null }), {
        components: { baseText: { train: countingTexts(30, 5, 7), heldOut: countingTexts(12, 6, 7) } },
      })
      return outcome.metrics.find(({ name }) => name === 'base-text-loss')?.gain.mean ?? Number.NaN
    }
    expect(await baseGain(0.3)).toBeGreaterThan((await baseGain(0)) + 0.1)
  })

  it('gives values as its format will give them back, and says what rounding took', async () => {
    const { outcome } = await runTiny(tinyPlan({ valueFormat: 'int8', includeFisher: true }))
    for (const { values, fisher } of outcome.content.deltas) {
      expect(() => encodeValues(values, 'int8')).not.toThrow()
      expect(new Set(values.map((value) => value * 0)).size).toBe(1)
      expect(fisher?.length).toBe(values.length)
      expect(fisher?.every((value) => value >= 0)).toBe(true)
    }
    expect(Math.abs(outcome.roundingLoss ?? 1)).toBeLessThan(0.05)
    const exact = await runTiny(tinyPlan({ valueFormat: 'float32' }))
    expect(exact.outcome.roundingLoss).toBe(0)
    expect(exact.outcome.content.deltas[0]?.fisher).toBeNull()
  })

  it('is measured as whoever applies the patch will have it', async () => {
    const { outcome } = await runTiny(tinyPlan({ valueFormat: 'int8' }))
    const trainee = await createTrainingEngine().loadTrainee(randomModel(smallConfig, 1), {
      parameters: [{ kind: 'tensor', name: tensorNames.finalNorm }],
      on: [{ deltas: outcome.content.deltas, scales: [] }],
      threads: 1,
    })
    const heldOut = countingTexts(20, 2).filter((_, i) => i % 2 === 0) // those that judge
    const { lossSum, weightSum } = await trainee.loss(heldOut)
    await trainee.dispose()
    expect(outcome.metrics[0]?.after).toBeCloseTo(lossSum / weightSum, 5)
  })

  it('stands on the patches of its parents: its changes are what it adds to them', async () => {
    const first = await runTiny(tinyPlan())
    const on = [{ deltas: first.outcome.content.deltas, scales: [] }]
    const second = await runTiny(tinyPlan({ hyperParameters: { seed: 2 } }), { components: { on } })
    const [before] = second.outcome.metrics
    expect(before?.before).toBeCloseTo(first.outcome.metrics[0]?.after ?? Number.NaN, 4)
    expect(heldOutGain(second.outcome)).toBeGreaterThan(0)
  })

  it('takes a shared mask as it is', async () => {
    const mask = [
      { tensor: tensorNames.block(1).up, indices: Uint32Array.of(3, 9) },
      { tensor: tensorNames.embedding, indices: Uint32Array.of(0, 17, 40) },
    ]
    const plan = tinyPlan({}, { sharedMask: mask.map(({ tensor, indices }) => ({ tensor, entries: indices.length })) })
    expect(plan.mask).toBeNull()
    const { outcome, events } = await runTiny(plan, { components: { mask } })
    expect(phasesOf(events)).not.toContain('choosing')
    expect(outcome.content.deltas.map(({ tensor, indices }) => ({ tensor, indices }))).toEqual(mask.toReversed())
    const strange = [{ tensor: 'nothing', indices: Uint32Array.of(0) }]
    await expect(runTiny(plan, { components: { mask: strange } })).rejects.toThrow(PatchMismatchError)
  })

  it('does without held-out text and base text: it trains to the end and claims nothing', async () => {
    const examples = { objective: 'language-model', train: countingTexts(5, 1), heldOut: [] } as const
    const { outcome } = await runTiny(tinyPlan(), {
      components: { examples, baseText: { train: [], heldOut: [] } },
    })
    expect(outcome.metrics).toEqual([])
    expect(outcome.roundingLoss).toBeNull()
    expect(outcome.record.bestStep).toBe(12)
  })
})

describe('a mask that is chosen after a trial', () => {
  const maskOf = async (trialSteps: number) => {
    const mask = { fisher: { kind: 'empirical', examples: 10, trialSteps } } as const
    const { outcome, events } = await runTiny(tinyPlan({ mask, hyperParameters: { steps: 1, learningRate: 0.01 } }))
    return { indices: outcome.content.deltas.map(({ tensor, indices }) => [tensor, indices]), outcome, events }
  }

  it('is another one than by the Fisher information alone, and is trained from the base', async () => {
    const [alone, tried] = [await maskOf(0), await maskOf(5)]
    expect(tried.indices).not.toEqual(alone.indices)
    expect(tried.outcome.record.trainedParameters).toBe(alone.outcome.record.trainedParameters)
    expect(tried.outcome.metrics[0]?.before).toBe(alone.outcome.metrics[0]?.before)
    // One step moves each entry by the rate at most: the trial's own steps are gone.
    const changes = tried.outcome.content.deltas.flatMap(({ values }) => Array.from(values, Math.abs))
    expect(Math.max(...changes)).toBeLessThan(0.0101)
  })

  it('tells how far it is over both', async () => {
    const { events } = await maskOf(5)
    const shares = events.flatMap((event) =>
      event.type === 'progress' && event.progress.phase === 'choosing'
        ? [event.progress.done / event.progress.total]
        : [],
    )
    expect(shares).toEqual(shares.toSorted((a, b) => a - b))
    expect(shares.at(-1)).toBe(1)
  })
})

it('movement is weighed by the root of the Fisher information', () => {
  const scores = movementScores([Float32Array.of(4, 9, 0)], [Float32Array.of(1, 1, 1)], [Float32Array.of(2, 0.5, 7)])
  expect(scores).toEqual([Float32Array.of(2, 1.5, 0)])
})

describe('a run that is interrupted', () => {
  const plans: Record<string, PlanChanges> = {
    'a FISH mask': { includeFisher: true },
    'the true Fisher per tensor': {
      mask: { quota: 'per-tensor', fisher: { kind: 'true', examples: 5, trialSteps: 0 } },
    },
    'a random mask with base text': { method: 'random', protection: { kind: 'own-text', share: 0.3 } },
    '(IA)³': { method: 'ia3' },
    everything: { method: 'full', patience: 1, hyperParameters: { learningRate: 0.3 } },
  }
  for (const [what, changes] of Object.entries(plans)) {
    it(`comes to the same bits from every checkpoint: ${what}`, async () => {
      const plan = tinyPlan(changes)
      const { outcome, events } = await runTiny(plan)
      const checkpoints = checkpointsOf(events)
      expect(checkpoints.length).toBeGreaterThan(2)
      for (const { bytes, step } of checkpoints) {
        const resumed = await runTiny(plan, { options: { resume: bytes } })
        expect(bitsOf(resumed.outcome)).toEqual(bitsOf(outcome))
        const again = resumed.events.flatMap((event) => (event.type === 'points' ? event.points : []))
        const first = events.flatMap((event) => (event.type === 'points' ? event.points : []))
        expect(again).toEqual(
          first.filter((point) => point.step > step || (step === 0 && again.includes(point))).slice(-again.length),
        )
      }
    })
  }

  it('by an abort anywhere goes on from its last checkpoint to the same bits, and leaves no trainee behind', async () => {
    const plan = tinyPlan({
      hyperParameters: { steps: 6 },
      mask: { fisher: { kind: 'empirical', examples: 4, trialSteps: 1 } },
    })
    let gates = 0
    const { outcome } = await runTiny(plan, { components: { gate: async () => void gates++ } })
    for (let stopAt = 0; stopAt < gates; stopAt += 7) {
      const engine = watchedEngine()
      const abort = new AbortController()
      let passed = 0
      let last: Uint8Array | null = null
      const gate = async () => {
        if (passed++ === stopAt) abort.abort(new Error('power cut'))
      }
      const onEvent = async (event: RunEvent) => {
        if (event.type === 'checkpoint') last = event.bytes
      }
      const cut = runTiny(plan, { components: { engine, gate }, options: { signal: abort.signal, onEvent } })
      await expect(cut).rejects.toThrow('power cut')
      expect(engine.alive()).toBe(0)
      const resumed = await runTiny(plan, { components: { engine }, options: { resume: last } })
      expect(bitsOf(resumed.outcome)).toEqual(bitsOf(outcome))
      expect(engine.alive()).toBe(0)
    }
  })

  it('refuses the checkpoint of another plan', async () => {
    const { events } = await runTiny(tinyPlan({ method: 'ia3' }))
    const [{ bytes: resume } = { bytes: new Uint8Array() }] = checkpointsOf(events)
    await expect(runTiny(tinyPlan({ method: 'random' }), { options: { resume } })).rejects.toThrow('another plan')
  })
})

describe('a run ends', () => {
  it('early, with its best values, when the held-out text grows no likelier', async () => {
    const changes = { method: 'full', patience: 2, hyperParameters: { learningRate: 0.5, steps: 60 } } as const
    const { outcome, events } = await runTiny(tinyPlan(changes))
    expect(outcome.earlyStopped).toBe(true)
    const points = events.flatMap((event) => (event.type === 'points' ? event.points : []))
    const heldOut = points.filter((point) => point.heldOut !== null)
    const best = heldOut.reduce((a, b) => ((b.heldOut ?? 0) < (a.heldOut ?? 0) ? b : a))
    expect(outcome.record.bestStep).toBe(best.step)
    expect(heldOut.at(-1)?.step).toBe(best.step + 6)
  })

  it('when its owner has enough, with what there is', async () => {
    const finish = new AbortController()
    const onEvent = async (event: RunEvent) => {
      if (event.type === 'points' && event.points.some(({ step }) => step === 5)) finish.abort()
    }
    const { outcome, events } = await runTiny(tinyPlan({ hyperParameters: { steps: 40 } }), {
      options: { finish: finish.signal, onEvent },
    })
    expect(outcome.earlyStopped).toBe(false)
    const steps = events.flatMap((event) => (event.type === 'points' ? event.points.map(({ step }) => step) : []))
    expect(steps.at(-1)).toBe(6)
    expect(outcome.record.bestStep).toBeGreaterThan(0)
  })

  it('with a word when its owner has enough before anything was trained', async () => {
    const finish = new AbortController()
    finish.abort()
    await expect(runTiny(tinyPlan(), { options: { finish: finish.signal } })).rejects.toThrow(TrainingFailedError)
  })

  it('with a word when there is nothing to train on', async () => {
    const examples = { objective: 'language-model', train: [], heldOut: [] } as const
    await expect(runTiny(tinyPlan(), { components: { examples } })).rejects.toThrow('no training examples')
  })

  it('when numbers end, naming the step, with checkpoints up to there and nothing left in memory', async () => {
    const inner = createTrainingEngine()
    const breaking: TrainingEngine = {
      backend: inner.backend,
      async loadTrainee(model, init) {
        const trainee = await inner.loadTrainee(model, init)
        let steps = 0
        return {
          ...trainee,
          parameterCount: trainee.parameterCount,
          optimizerStateBytes: 0,
          step: async (batch, step, options) => {
            const result = await trainee.step(batch, step, options)
            return ++steps === 7 ? { ...result, gradientNorm: Number.NaN } : result
          },
        }
      },
    }
    const engine = watchedEngine(breaking)
    const steps: number[] = []
    const onEvent = async (event: RunEvent) => void (event.type === 'checkpoint' && steps.push(event.step))
    const run = runTiny(tinyPlan({ hyperParameters: { learningRate: 0.01 } }), {
      components: { engine },
      options: { onEvent },
    })
    await expect(run).rejects.toThrow(new TrainingFailedError('step 7 came to no number'))
    expect(steps.at(-1)).toBe(4)
    expect(engine.alive()).toBe(0)
  })

  it('passes over a learning rate whose try came to no number', async () => {
    const { outcome, events } = await runTiny(tinyPlan({ method: 'full' }), {
      components: { engine: diverging(0.02) },
    })
    const losses = events.flatMap((event) => (event.type === 'probe' ? [event.heldOutLoss] : []))
    expect(losses.map((loss) => loss === null)).toEqual([false, false, true])
    expect(outcome.record.hyperParameters.learningRate).toBeLessThan(0.02)
    await expect(runTiny(tinyPlan({ method: 'full' }), { components: { engine: diverging(0) } })).rejects.toThrow(
      'no learning rate',
    )
  })
})

/** Comes to no number at any rate above `limit`. */
function diverging(limit: number): TrainingEngine {
  const inner = createTrainingEngine()
  return {
    backend: inner.backend,
    async loadTrainee(model, init) {
      const trainee = await inner.loadTrainee(model, init)
      return {
        ...trainee,
        parameterCount: trainee.parameterCount,
        optimizerStateBytes: 0,
        step: async (batch, step, options) => {
          const result = await trainee.step(batch, step, options)
          return step.learningRate > limit ? { ...result, gradientNorm: Number.NaN } : result
        },
      }
    },
  }
}
