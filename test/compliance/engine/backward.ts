/** Gradients through the frozen weights, against reverse mode in float64. */
import { describe, expect, it } from 'vitest'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { blockTensors } from '#core/models/expected-tensors.ts'
import { entriesGradient, type MatrixRole, tensorGradient, type VectorRole } from '#core/numerics/block-backward.ts'
import { type PatchWeights, scaleTargets, type TrainedParameter } from '#core/ports/engine.ts'
import { locateTensor } from '#engines/shared/patch-target.ts'
import { randomModel, tinyConfig, tinyRelatives } from '#test/fakes/model-handle.ts'
import { randomDelta, randomFloats, randomPatch, shapes } from './inputs.ts'
import { type OracleBackward, oracleBackward } from './oracle.ts'
import { type EngineUnderTest, mismatch, misuse, outOfRange, tooLong } from './under-test.ts'

const width = 32 // hidden size of the tiny model
const tokens = 9

/** The span's input, and a gradient at its output. */
function rowsFor(count: number) {
  return { hidden: randomFloats(count * width, 1), outputGradient: randomFloats(count * width, 2) }
}

/** Everything of a block: whole tensors, entries of every matrix, and the scales. */
function everyParameter(config: ModelConfig, block: number): TrainedParameter[] {
  const tensors = blockTensors(config, block)
  const matrices = tensors.filter(({ shape }) => shape.length === 2)
  return [
    ...tensors.map(({ name }) => ({ kind: 'tensor', name }) as const),
    ...matrices.map(
      ({ name }, i) => ({ kind: 'entries', name, indices: randomDelta(config, name, i).indices }) as const,
    ),
    ...scaleTargets.map((target) => ({ kind: 'scale', block, target }) as const),
  ]
}

/** The oracle's gradient of `parameter`; its first block is block `start` of the model. */
function gradientOf(
  expected: OracleBackward,
  parameter: TrainedParameter,
  config: ModelConfig,
  start = 0,
): Float64Array {
  const target = parameter.kind === 'scale' ? parameter : locateTensor(config, parameter.name)
  const gradients = 'block' in target ? expected.blocks[target.block - start] : undefined
  if (gradients === undefined) return new Float64Array()
  if (parameter.kind === 'scale') return gradients.scales[parameter.target]
  const { role } = target as { role: MatrixRole | VectorRole }
  if (parameter.kind === 'tensor') return tensorGradient(gradients, role) ?? new Float64Array()
  return entriesGradient(gradients, role as MatrixRole, parameter.indices)
}

export function describeBackward(suite: EngineUnderTest): void {
  describe('backward', () => {
    describeInputGradients(suite)
    describeParameterGradients(suite)
    describeBackwardAfter(suite)
    describeRefusedBackward(suite)
  })
}

function describeInputGradients({ loadSpan, expectGradient }: EngineUnderTest): void {
  for (const [shape, changes] of Object.entries(shapes)) {
    it(`gives the gradient at the input of a model with ${shape}`, async () => {
      const model = randomModel(tinyConfig(changes), 100)
      const runner = await loadSpan(model)
      const expected = await oracleBackward(model, { span: runner.span, ...rowsFor(tokens) })
      const result = await runner.backward(rowsFor(tokens))
      expectGradient(result.inputGradient, expected.input)
      expect(result.parameterGradients).toEqual([])
    })
  }

  it('runs over a sub-span, for one token and for hundreds', async () => {
    const model = randomModel(tinyConfig({ slidingWindow: 90 }), 101)
    const runner = await loadSpan(model)
    for (const [count, span] of [
      [1, { start: 0, end: 3 }],
      [2, { start: 1, end: 2 }],
      [200, { start: 1, end: 3 }],
    ] as const) {
      const expected = await oracleBackward(model, { span, ...rowsFor(count) })
      expectGradient((await runner.backward({ ...rowsFor(count), span })).inputGradient, expected.input)
    }
  })

  it('reads views into larger buffers and leaves its inputs alone', async () => {
    const model = randomModel(tinyConfig(), 102)
    const runner = await loadSpan(model)
    const { hidden, outputGradient } = rowsFor(tokens)
    const expected = await oracleBackward(model, { span: runner.span, hidden, outputGradient })
    const buffer = new Float32Array(2 * hidden.length + 5)
    buffer.set(hidden, 3)
    buffer.set(outputGradient, hidden.length + 4)
    const before = buffer.slice()
    const result = await runner.backward({
      hidden: buffer.subarray(3, 3 + hidden.length),
      outputGradient: buffer.subarray(hidden.length + 4, 2 * hidden.length + 4),
    })
    expectGradient(result.inputGradient, expected.input)
    expect(buffer).toEqual(before)
  })

  it('runs beside forward calls', async () => {
    const model = randomModel(tinyConfig(), 103)
    const runner = await loadSpan(model)
    const alone = await runner.openSession({ maxLength: 9 }).forward(rowsFor(tokens).hidden)
    const expected = await oracleBackward(model, { span: runner.span, ...rowsFor(tokens) })
    const [output, ...gradients] = await Promise.all([
      runner.openSession({ maxLength: 9 }).forward(rowsFor(tokens).hidden),
      runner.backward(rowsFor(tokens)),
      runner.backward(rowsFor(tokens)),
    ])
    expectGradient(output, alone)
    for (const { inputGradient } of gradients) expectGradient(inputGradient, expected.input)
  })
}

function describeParameterGradients({ loadSpan, expectGradient }: EngineUnderTest): void {
  for (const shape of [
    ...Object.keys(tinyRelatives).map((name) => `the shape of ${name}`),
    'query and key norms, biases and a window',
  ]) {
    it(`gives gradients of whole tensors, entries and scales of a model with ${shape}`, async () => {
      const config = tinyConfig(shapes[shape])
      const model = randomModel(config, 104)
      const runner = await loadSpan(model, { span: { start: 1, end: 3 } })
      const expected = await oracleBackward(model, { span: runner.span, ...rowsFor(tokens) })
      const parameters = [2, 1].flatMap((block) => everyParameter(config, block))
      const { inputGradient, parameterGradients } = await runner.backward({ ...rowsFor(tokens), parameters })
      expectGradient(inputGradient, expected.input)
      expect(parameterGradients.length).toBe(parameters.length)
      for (const [i, parameter] of parameters.entries()) {
        expectGradient(parameterGradients[i], gradientOf(expected, parameter, config, 1))
      }
    })
  }

  it('goes through patches: at the values they give', async () => {
    const config = tinyConfig({ attentionBias: true, queryKeyNorm: true })
    const model = randomModel(config, 105)
    const runner = await loadSpan(model)
    const patches: PatchWeights[] = [randomPatch(config, 1), randomPatch(config, 2)]
    const expected = await oracleBackward(model, { span: runner.span, ...rowsFor(tokens) }, { patches })
    const loaded = await Promise.all(patches.map((patch) => runner.loadPatch(patch)))
    const parameters = [0, 2].flatMap((block) => everyParameter(config, block))
    const result = await runner.backward({ ...rowsFor(tokens), patches: loaded, parameters })
    expectGradient(result.inputGradient, expected.input)
    for (const [i, parameter] of parameters.entries()) {
      expectGradient(result.parameterGradients[i], gradientOf(expected, parameter, config))
    }
  })

  it('goes through scales of zero', async () => {
    const config = tinyConfig({ blockCount: 1 })
    const model = randomModel(config, 106)
    const runner = await loadSpan(model)
    const zeros = { block: 0, target: 'value', values: new Float32Array(32) } as const
    const patch: PatchWeights = { deltas: [], scales: [zeros] }
    const expected = await oracleBackward(model, { span: runner.span, ...rowsFor(tokens) }, { patches: [patch] })
    const parameter = { kind: 'scale', block: 0, target: 'value' } as const
    const patches = [await runner.loadPatch(patch)]
    const result = await runner.backward({ ...rowsFor(tokens), patches, parameters: [parameter] })
    expectGradient(result.inputGradient, expected.input)
    expectGradient(result.parameterGradients[0], gradientOf(expected, parameter, config))
  })
}

function describeBackwardAfter({ loadSpan, expectClose, expectGradient }: EngineUnderTest): void {
  for (const shape of ['grouped heads', 'query and key norms, biases and a window', 'the shape of mistral']) {
    it(`comes after a session, whose keys and values are constants and stay: ${shape}`, async () => {
      const config = tinyConfig(shapes[shape])
      const model = randomModel(config, 107)
      const runner = await loadSpan(model)
      const past = randomFloats(6 * width, 3)
      const expected = await oracleBackward(model, { span: runner.span, ...rowsFor(4), past })
      const after = runner.openSession({ maxLength: 9 })
      await after.forward(past)
      const twin = after.fork()
      const parameters = everyParameter(config, 1)
      const result = await runner.backward({ ...rowsFor(4), after, parameters })
      expectGradient(result.inputGradient, expected.input)
      for (const [i, parameter] of parameters.entries()) {
        expectGradient(result.parameterGradients[i], gradientOf(expected, parameter, config))
      }
      expect(after.length).toBe(6)
      const next = randomFloats(3 * width, 4)
      expectClose(await after.forward(next), await twin.forward(next))
    })
  }

  it('comes after a session with patches of its own, over a sub-span', async () => {
    const config = tinyConfig()
    const model = randomModel(config, 108)
    const runner = await loadSpan(model)
    const span = { start: 1, end: 3 }
    const [pastPatch, patch] = [randomPatch(config, 3), randomPatch(config, 4)]
    const past = randomFloats(5 * width, 5)
    const expected = await oracleBackward(
      model,
      { span, ...rowsFor(1), past, pastPatches: [pastPatch] },
      { patches: [patch] },
    )
    const after = runner.openSession({ maxLength: 5, span, patches: [await runner.loadPatch(pastPatch)] })
    await after.forward(past)
    const patches = [await runner.loadPatch(patch)]
    const result = await runner.backward({ ...rowsFor(1), span, after, patches })
    expectGradient(result.inputGradient, expected.input)
  })
}

function describeRefusedBackward({ loadSpan, expectGradient }: EngineUnderTest): void {
  it('refuses rows that do not fit, blocks it does not hold, and positions past the context', async () => {
    const runner = await loadSpan(randomModel(tinyConfig({ contextLength: 10 }), 109), { span: { start: 0, end: 2 } })
    const { hidden, outputGradient } = rowsFor(2)
    for (const request of [
      { hidden, outputGradient: outputGradient.subarray(1) },
      { hidden: hidden.subarray(1), outputGradient: outputGradient.subarray(1) },
      { hidden: new Float32Array(), outputGradient: new Float32Array() },
      { hidden, outputGradient, span: { start: 1, end: 3 } },
    ]) {
      await expect(runner.backward(request)).rejects.toMatchObject(outOfRange)
    }
    await expect(runner.backward(rowsFor(11))).rejects.toMatchObject(tooLong)
    const after = runner.openSession({ maxLength: 9 })
    await after.forward(rowsFor(9).hidden)
    await expect(runner.backward({ hidden, outputGradient, after })).rejects.toMatchObject(tooLong)
  })

  it('refuses parameters that are not in the span', async () => {
    const runner = await loadSpan(randomModel(tinyConfig(), 110))
    const { query, attentionNorm, queryBias } = tensorNames.block(1)
    const entries = (name: string, indices: readonly number[]): TrainedParameter => ({
      kind: 'entries',
      name,
      indices: Uint32Array.from(indices),
    })
    const bad: TrainedParameter[] = [
      { kind: 'tensor', name: 'model.layers.1.self_attn.z_proj.weight' },
      { kind: 'tensor', name: queryBias },
      { kind: 'tensor', name: tensorNames.embedding },
      { kind: 'tensor', name: tensorNames.block(0).query },
      { kind: 'scale', block: 0, target: 'key' },
      { kind: 'scale', block: 3, target: 'key' },
      entries(attentionNorm, [0]),
      entries(query, [3, 2]),
      entries(query, [2, 2]),
      entries(query, [64 * 32]),
    ]
    for (const parameter of bad) {
      const request = { ...rowsFor(2), span: { start: 1, end: 2 }, parameters: [parameter] }
      await expect(runner.backward(request)).rejects.toMatchObject(mismatch)
    }
  })

  it('refuses a session that is another runner’s, of other blocks, busy or disposed, and others’ patches', async () => {
    const config = tinyConfig()
    const model = randomModel(config, 111)
    const [runner, other] = [await loadSpan(model), await loadSpan(model)]
    const foreign = other.openSession({ maxLength: 9 })
    const partial = runner.openSession({ maxLength: 9, span: { start: 0, end: 2 } })
    const disposed = runner.openSession({ maxLength: 9 })
    disposed.dispose()
    const busy = runner.openSession({ maxLength: 9 })
    const call = busy.forward(rowsFor(2).hidden)
    for (const after of [foreign, partial, disposed, busy]) {
      await expect(runner.backward({ ...rowsFor(2), after })).rejects.toMatchObject(misuse)
    }
    await call
    const patches = [await other.loadPatch(randomPatch(config, 1))]
    await expect(runner.backward({ ...rowsFor(2), patches })).rejects.toMatchObject(misuse)
  })

  it('occupies the session it comes after', async () => {
    const runner = await loadSpan(randomModel(tinyConfig(), 112))
    const after = runner.openSession({ maxLength: 9 })
    await after.forward(rowsFor(2).hidden)
    const call = runner.backward({ ...rowsFor(2), after })
    await expect(after.forward(rowsFor(1).hidden)).rejects.toMatchObject(misuse)
    expect(() => after.truncate(0)).toThrow('overlap')
    await call
    await after.forward(rowsFor(1).hidden)
    expect(after.length).toBe(3)
  })

  it('stops at an abort with the signal’s reason, and runs again', async () => {
    const model = randomModel(tinyConfig({ blockCount: 6 }), 113)
    const runner = await loadSpan(model)
    const after = runner.openSession({ maxLength: 9 })
    const controller = new AbortController()
    const call = runner.backward({ ...rowsFor(tokens), after }, { signal: controller.signal })
    const reason = new Error('nobody wants it')
    controller.abort(reason)
    await expect(call).rejects.toBe(reason)
    const earlier = AbortSignal.abort()
    await expect(runner.backward(rowsFor(tokens), { signal: earlier })).rejects.toBe(earlier.reason)
    const expected = await oracleBackward(model, { span: runner.span, ...rowsFor(tokens) })
    expectGradient((await runner.backward({ ...rowsFor(tokens), after })).inputGradient, expected.input)
  })
}
