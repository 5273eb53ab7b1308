/** A trainee: a model in memory with some of its numbers being trained. */
import { CodedError } from '#contracts/errors.ts'
import type { TrainingEngine } from '#core/ports/training-engine.ts'
import { type Handlers, type OpenModel, withModel } from './handler.ts'
import { packMoments, unpackBatch, unpackMoments, unpackParameters, unpackPatch } from './packing.ts'
import { createInTurn, type ServedParts } from './served-parts.ts'

export interface TrainingHandlerParts {
  readonly training: TrainingEngine | null
  readonly openModel: OpenModel
  readonly parts: ServedParts
}

export type TrainingRequests =
  | 'load-trainee'
  | 'loss'
  | 'gradients'
  | 'step'
  | 'log-probabilities'
  | 'sample-targets'
  | 'squared-gradients'
  | 'values'
  | 'set-values'
  | 'export-optimizer'
  | 'import-optimizer'

export function createTrainingHandlers({
  training,
  openModel,
  parts,
}: TrainingHandlerParts): Handlers<TrainingRequests> {
  return {
    async 'load-trainee'({ part, model, threads, parameters, on }, { arrays, signal }) {
      if (training === null) throw new CodedError('internal', 'this worker does not train')
      const init = {
        parameters: unpackParameters(parameters, arrays),
        on: on.map((patch) => unpackPatch(patch, arrays)),
        threads,
        signal,
      }
      const { trainee } = await parts.load(part, async () => ({
        kind: 'trainee' as const,
        trainee: await withModel(openModel, model, (handle) => training.loadTrainee(handle, init)),
        inTurn: createInTurn(),
      }))
      return { answer: { parameterCount: trainee.parameterCount } }
    },
    loss({ part, batch }, { arrays, signal }) {
      const examples = unpackBatch(batch, arrays)
      return parts.trainee(part, async (trainee) => {
        const { lossSum, weightSum } = await trainee.loss(examples, { signal })
        return { answer: { lossSum, weightSum } }
      })
    },
    gradients({ part, batch }, { arrays, signal }) {
      const examples = unpackBatch(batch, arrays)
      return parts.trainee(part, async (trainee) => {
        const { lossSum, weightSum, gradients } = await trainee.gradients(examples, { signal })
        return { answer: { lossSum, weightSum }, arrays: gradients }
      })
    },
    step({ part, batch, optimizer }, { arrays, signal }) {
      const examples = unpackBatch(batch, arrays)
      return parts.trainee(part, async (trainee) => {
        const { lossSum, weightSum, gradientNorm } = await trainee.step(examples, optimizer, { signal })
        const { optimizerStateBytes } = trainee
        return { answer: { lossSum, weightSum, gradientNorm, optimizerStateBytes } }
      })
    },
    'log-probabilities'({ part, batch }, { arrays, signal }) {
      const examples = unpackBatch(batch, arrays)
      return parts.trainee(part, async (trainee) => ({
        answer: {},
        arrays: await trainee.logProbabilities(examples, { signal }),
      }))
    },
    'sample-targets'({ part, batch, seed }, { arrays, signal }) {
      const examples = unpackBatch(batch, arrays)
      return parts.trainee(part, async (trainee) => ({
        answer: {},
        arrays: await trainee.sampleTargets(examples, { seed, signal }),
      }))
    },
    'squared-gradients'({ part, batch }, { arrays, signal }) {
      const examples = unpackBatch(batch, arrays)
      return parts.trainee(part, async (trainee) => ({
        answer: {},
        arrays: await trainee.squaredGradients(examples, { signal }),
      }))
    },
    values({ part, index }) {
      return parts.trainee(part, async (trainee) => ({ answer: {}, arrays: [await trainee.values(index)] }))
    },
    'set-values'({ part, index }, { arrays }) {
      const values = arrays.floats()
      return parts.trainee(part, async (trainee) => {
        await trainee.setValues(index, values)
        return { answer: {} }
      })
    },
    'export-optimizer'({ part }) {
      return parts.trainee(part, async (trainee) => {
        const state = await trainee.exportOptimizer()
        return { answer: { steps: state.steps }, arrays: packMoments(state) }
      })
    },
    'import-optimizer'({ part, steps }, { arrays }) {
      const moments = unpackMoments(arrays)
      return parts.trainee(part, async (trainee) => {
        await trainee.importOptimizer({ steps, moments })
        return { answer: { optimizerStateBytes: trainee.optimizerStateBytes } }
      })
    },
  }
}
