/** The `TrainingEngine` port, with the training done in a worker. */
import type { TrainedParameter } from '#core/ports/engine.ts'
import type { Trainee, TrainingEngine, TrainingExample } from '#core/ports/training-engine.ts'
import { EngineMisuseError } from '../shared/misuse.ts'
import type { ComputeClient } from './compute-client.ts'
import type { Connection } from './connection.ts'
import { expectFloats, expectTargets } from './expect-arrays.ts'
import { packBatch, packMoments, packParameters, packPatch, unpackMoments } from './packing.ts'
import { parameterSize } from './parameter-size.ts'
import { untilStopped } from './pending-calls.ts'
import { loadPart } from './remote-engine.ts'

/** Null when the worker's backend only runs models. */
export function createRemoteTrainingEngine(client: ComputeClient): TrainingEngine | null {
  const { backend, trains } = client.description
  if (!trains) return null
  return {
    backend,
    async loadTrainee(model, init) {
      init.signal?.throwIfAborted()
      const { config, digest } = model.manifest
      const sizes = init.parameters.map((parameter) => parameterSize(config, parameter))
      return loadPart(client, init, async (connection, part) => {
        const { parameters, arrays } = packParameters(init.parameters)
        const patches = (init.on ?? []).map(packPatch)
        const on = patches.map(({ content }) => content)
        const { answer } = await connection.call(
          { kind: 'load-trainee', part, model: digest, threads: init.threads, parameters, on },
          { arrays: [...arrays, ...patches.flatMap((patch) => patch.arrays)], signal: init.signal },
        )
        return createRemoteTrainee(connection, { part, parameters: init.parameters, sizes, ...answer })
      })
    },
  }
}

interface RemoteTraineeInit {
  readonly part: number
  readonly parameters: readonly TrainedParameter[]
  /** Numbers of each parameter. */
  readonly sizes: readonly number[]
  readonly parameterCount: number
}

function createRemoteTrainee(connection: Connection, init: RemoteTraineeInit): Trainee {
  const { part, parameters, sizes, parameterCount } = init
  let optimizerStateBytes = 0
  let disposal: Promise<void> | null = null
  let busy = false

  /** Calls do not overlap. */
  async function alone<T>(work: () => Promise<T>): Promise<T> {
    if (disposal) throw new EngineMisuseError('the trainee is disposed')
    if (busy) throw new EngineMisuseError('calls on one trainee must not overlap')
    busy = true
    try {
      return await work()
    } finally {
      busy = false
    }
  }

  async function disposeAll(): Promise<void> {
    if (connection.failure) return
    await connection.call({ kind: 'dispose-part', part }).catch((error: unknown) => {
      // With the worker everything in it is gone, which is what was wanted.
      if (!connection.failure) throw error
    })
  }

  return {
    parameters,
    parameterCount,
    get optimizerStateBytes() {
      return optimizerStateBytes
    },
    values: (index) =>
      alone(async () => {
        const { arrays } = await connection.call({ kind: 'values', part, index })
        return expectFloats(connection, arrays, sizes[index] ?? 0)
      }),
    setValues: (index, values) =>
      alone(async () => void (await connection.call({ kind: 'set-values', part, index }, { arrays: [values] }))),
    loss: (examples, { signal } = {}) =>
      alone(async () => {
        const { batch, arrays } = packBatch(examples)
        return (await connection.call({ kind: 'loss', part, batch }, { arrays, signal })).answer
      }),
    gradients: (examples, { signal } = {}) =>
      alone(async () => {
        const { batch, arrays } = packBatch(examples)
        const answered = await connection.call({ kind: 'gradients', part, batch }, { arrays, signal })
        return { ...answered.answer, gradients: sizes.map((size) => expectFloats(connection, answered.arrays, size)) }
      }),
    step: (examples, optimizer, { signal } = {}) =>
      alone(async () => {
        signal?.throwIfAborted()
        const { batch, arrays } = packBatch(examples)
        const call = connection.begin({ kind: 'step', part, batch, optimizer: { ...optimizer } }, { arrays })
        const { answer } = await untilStopped(call, signal)
        const { optimizerStateBytes: heldBytes, ...result } = answer
        optimizerStateBytes = heldBytes
        return result
      }),
    logProbabilities: (examples, { signal } = {}) =>
      alone(async () => {
        const { batch, arrays } = packBatch(examples.map(unweighted))
        const answered = await connection.call({ kind: 'log-probabilities', part, batch }, { arrays, signal })
        return examples.map(({ tokens }) => expectFloats(connection, answered.arrays, tokens.length - 1))
      }),
    sampleTargets: (examples, { seed, signal }) =>
      alone(async () => {
        const { batch, arrays } = packBatch(examples.map(unweighted))
        const answered = await connection.call({ kind: 'sample-targets', part, batch, seed }, { arrays, signal })
        return examples.map(({ tokens }) => expectTargets(connection, answered.arrays, tokens.length - 1))
      }),
    squaredGradients: (examples, { signal } = {}) =>
      alone(async () => {
        const { batch, arrays } = packBatch(examples)
        const answered = await connection.call({ kind: 'squared-gradients', part, batch }, { arrays, signal })
        return sizes.map((size) => expectFloats(connection, answered.arrays, size))
      }),
    exportOptimizer: () =>
      alone(async () => {
        const { answer, arrays } = await connection.call({ kind: 'export-optimizer', part })
        return { steps: answer.steps, moments: unpackMoments(arrays) }
      }),
    importOptimizer: (state) =>
      alone(async () => {
        const arrays = packMoments(state)
        const { answer } = await connection.call({ kind: 'import-optimizer', part, steps: state.steps }, { arrays })
        optimizerStateBytes = answer.optimizerStateBytes
      }),
    dispose() {
      disposal ??= disposeAll()
      return disposal
    },
  }
}

/** Weights that nobody looks at need not travel. */
function unweighted({ tokens, targets }: TrainingExample): TrainingExample {
  return targets ? { tokens, targets } : { tokens }
}
