/** Patches: a session computes what a model with the patch merged into its weights computes. */
import { describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import { blockTensors } from '#core/models/expected-tensors.ts'
import { type PatchWeights, type ScaleTarget, scaleTargets } from '#core/ports/engine.ts'
import { randomModel, tinyConfig, tinyRelatives } from '#test/fakes/model-handle.ts'
import {
  forwardInParts,
  inputOf,
  outputOf,
  randomDelta,
  randomEndsPatch,
  randomFactors,
  randomPatch,
  randomScale,
  shapes,
  someTokens,
} from './inputs.ts'
import { oracle } from './oracle.ts'
import { type EngineUnderTest, mismatch, misuse } from './under-test.ts'

const everyTensor = { attentionBias: true, queryKeyNorm: true } as const

export function describePatches(suite: EngineUnderTest): void {
  describe('a patch', () => {
    describeBlockPatches(suite)
    describeCombinations(suite)
    describeLifeOfPatches(suite)
  })
  describe('a patch on the ends', () => describeEndsPatches(suite))
  describe('a patch that does not fit', () => describeMismatches(suite))
}

function describeBlockPatches({ loadSpan, expectClose }: EngineUnderTest): void {
  it('changes any tensor of a block, alone', async () => {
    const config = tinyConfig({ ...everyTensor, blockCount: 2 })
    const model = randomModel(config, 50)
    const runner = await loadSpan(model)
    const base = await oracle(model, someTokens)
    for (const [i, { name }] of blockTensors(config, 1).entries()) {
      const patch: PatchWeights = { deltas: [randomDelta(config, name, i)], scales: [] }
      const expected = await oracle(model, someTokens, { patches: [patch] })
      expect(outputOf(expected), name).not.toEqual(outputOf(base))
      const session = runner.openSession({ maxLength: 9, patches: [await runner.loadPatch(patch)] })
      expectClose(await forwardInParts(session, inputOf(expected), [7, 1, 1]), outputOf(expected))
    }
  })

  it('scales keys, values or the feed-forward, alone', async () => {
    const config = tinyConfig({ blockCount: 2, attentionBias: true })
    const model = randomModel(config, 51)
    const runner = await loadSpan(model)
    for (const [i, target] of scaleTargets.entries()) {
      const patch: PatchWeights = { deltas: [], scales: [randomScale(config, 0, target, i)] }
      const expected = await oracle(model, someTokens, { patches: [patch] })
      const session = runner.openSession({ maxLength: 9, patches: [await runner.loadPatch(patch)] })
      expectClose(await forwardInParts(session, inputOf(expected), [7, 1, 1]), outputOf(expected))
    }
  })

  it('adds the product of two factors to any matrix of a block, alone and beside entries of it', async () => {
    const config = tinyConfig({ blockCount: 2 })
    const model = randomModel(config, 65)
    const runner = await loadSpan(model)
    const matrices = blockTensors(config, 1).filter(({ shape }) => shape.length === 2)
    for (const [i, { name }] of matrices.entries()) {
      const factors = [randomFactors(config, name, [1, 3, 8, 17][i % 4] as number, i)]
      for (const deltas of [[], [randomDelta(config, name, i)]]) {
        const patch: PatchWeights = { deltas, scales: [], factors }
        const expected = await oracle(model, someTokens, { patches: [patch] })
        const loaded = await runner.loadPatch(patch)
        expect(loaded.weightBytes).toBeGreaterThan(4 * (factors[0]?.left.length ?? 0))
        const session = runner.openSession({ maxLength: 9, patches: [loaded] })
        expectClose(await forwardInParts(session, inputOf(expected), [7, 1, 1]), outputOf(expected))
      }
    }
  })

  for (const shape of [...Object.keys(tinyRelatives).map((name) => `the shape of ${name}`), 'interleaved rope']) {
    it(`changes everything at once in a model with ${shape}`, async () => {
      const config = tinyConfig(shapes[shape])
      const model = randomModel(config, 52)
      const patch = randomPatch(config, 7)
      const expected = await oracle(model, someTokens, { patches: [patch] })
      const runner = await loadSpan(model)
      const patches = [await runner.loadPatch(patch)]
      for (const parts of [[9], [3, 1, 1, 4]]) {
        const session = runner.openSession({ maxLength: 9, patches })
        expectClose(await forwardInParts(session, inputOf(expected), parts), outputOf(expected))
      }
    })
  }

  it('of whole dense tensors is applied like any other', async () => {
    const config = tinyConfig({ blockCount: 2 })
    const model = randomModel(config, 53)
    const names = blockTensors(config, 0).map(({ name }) => name)
    const patch = { deltas: names.map((name, i) => randomDelta(config, name, i, 1)), scales: [] }
    const expected = await oracle(model, someTokens, { patches: [patch] })
    const runner = await loadSpan(model)
    const session = runner.openSession({ maxLength: 9, patches: [await runner.loadPatch(patch)] })
    expectClose(await session.forward(inputOf(expected)), outputOf(expected))
  })

  it('of nothing changes nothing', async () => {
    const model = randomModel(tinyConfig(), 54)
    const expected = await oracle(model, someTokens)
    const runner = await loadSpan(model)
    const empty = await runner.loadPatch({ deltas: [], scales: [] })
    const none = { tensor: tensorNames.block(0).query, indices: new Uint32Array(), values: new Float32Array() }
    const hollow = await runner.loadPatch({ deltas: [none], scales: [] })
    const session = runner.openSession({ maxLength: 9, patches: [empty, hollow] })
    expectClose(await session.forward(inputOf(expected)), outputOf(expected))
  })
}

function describeCombinations({ loadSpan, expectClose }: EngineUnderTest): void {
  it('adds to other patches: deltas add up, scales multiply', async () => {
    const config = tinyConfig()
    const model = randomModel(config, 55)
    const patches = [randomPatch(config, 1), randomPatch(config, 2), randomPatch(config, 1)]
    const expected = await oracle(model, someTokens, { patches })
    const runner = await loadSpan(model)
    const loaded = await Promise.all(patches.map((patch) => runner.loadPatch(patch)))
    const session = runner.openSession({ maxLength: 9, patches: loaded })
    expectClose(await forwardInParts(session, inputOf(expected), [7, 1, 1]), outputOf(expected))
  })

  it('is the session’s own: in one batch each session has other patches, or none', async () => {
    const config = tinyConfig({ attentionBias: true })
    const model = randomModel(config, 56)
    const [a, b] = [randomPatch(config, 3), randomPatch(config, 4)]
    const scalesOnly = { deltas: [], scales: randomPatch(config, 5).scales }
    const factorsOnly = { deltas: [], scales: [], factors: randomPatch(config, 6).factors ?? [] }
    const choices = [[], [a], [b], [a, b], [scalesOnly], [factorsOnly], [b, factorsOnly], []] as const
    const runner = await loadSpan(model)
    const loaded = new Map<PatchWeights, Awaited<ReturnType<typeof runner.loadPatch>>>()
    for (const patch of [a, b, scalesOnly, factorsOnly]) loaded.set(patch, await runner.loadPatch(patch))
    const expected = await Promise.all(choices.map((patches) => oracle(model, someTokens, { patches })))
    const sessions = choices.map((patches) =>
      runner.openSession({ maxLength: 9, patches: patches.flatMap((patch) => loaded.get(patch) ?? []) }),
    )
    for (const [begin, end] of [
      [0, 5],
      [5, 6],
      [6, 9],
    ] as const) {
      const outputs = await runner.forward(
        sessions.map((session, i) => ({ session, hidden: inputOf(expected[i]).subarray(begin * 32, end * 32) })),
      )
      for (const [i, output] of outputs.entries()) {
        expectClose(output, outputOf(expected[i]).subarray(begin * 32, end * 32))
      }
    }
  })
}

function describeLifeOfPatches({ loadSpan, expectClose }: EngineUnderTest): void {
  it('leaves out what it does not reach in a runner', async () => {
    const config = tinyConfig()
    const model = randomModel(config, 57)
    const patch = randomPatch(config, 6)
    const everywhere = { ...patch, deltas: [...patch.deltas, ...randomEndsPatch(config, 6).deltas] }
    const expected = await oracle(model, someTokens, { patches: [patch] })
    const part = await loadSpan(model, { span: { start: 1, end: 2 } })
    const [small, large] = [await part.loadPatch(everywhere), await (await loadSpan(model)).loadPatch(everywhere)]
    expect(small.weightBytes).toBeGreaterThan(0)
    expect(small.weightBytes).toBeLessThan(large.weightBytes / 2)
    const session = part.openSession({ maxLength: 9, patches: [small] })
    const output = await session.forward(Float32Array.from(expected.hidden[1] as Float64Array))
    expectClose(output, expected.hidden[2] as Float64Array)
  })

  it('is copied when loaded: the arrays it came in may change', async () => {
    const config = tinyConfig()
    const model = randomModel(config, 58)
    const patch = randomPatch(config, 8)
    const expected = await oracle(model, someTokens, { patches: [patch] })
    const runner = await loadSpan(model)
    const loaded = await runner.loadPatch(patch)
    for (const { values } of [...patch.deltas, ...patch.scales]) values.fill(1000)
    for (const { left, right } of patch.factors ?? []) for (const values of [left, right]) values.fill(1000)
    const session = runner.openSession({ maxLength: 9, patches: [loaded] })
    expectClose(await session.forward(inputOf(expected)), outputOf(expected))
  })

  it('disposed under a session, also in the middle of a call, stays with that session', async () => {
    const config = tinyConfig()
    const model = randomModel(config, 59)
    const patch = randomPatch(config, 9)
    const expected = await oracle(model, someTokens, { patches: [patch] })
    const input = inputOf(expected)
    const runner = await loadSpan(model)
    const loaded = await runner.loadPatch(patch)
    const session = runner.openSession({ maxLength: 9, patches: [loaded] })
    const call = session.forward(input.subarray(0, 4 * 32))
    loaded.dispose()
    loaded.dispose()
    expectClose(await call, outputOf(expected).subarray(0, 4 * 32))
    await runner.loadPatch(randomPatch(config, 10)) // may be given the memory, were it free
    expectClose(await session.forward(input.subarray(4 * 32)), outputOf(expected).subarray(4 * 32))
    expect(() => runner.openSession({ maxLength: 9, patches: [loaded] })).toThrow('disposed')
  })

  it('serves the runner that loaded it, and no other', async () => {
    const config = tinyConfig()
    const model = randomModel(config, 60)
    const [first, second] = [await loadSpan(model), await loadSpan(model)]
    const loaded = await first.loadPatch(randomPatch(config, 11))
    expect(() => second.openSession({ maxLength: 9, patches: [loaded] })).toThrow(expect.objectContaining(misuse))
    await first.dispose()
    await expect(first.loadPatch({ deltas: [], scales: [] })).rejects.toMatchObject(misuse)
    loaded.dispose()
  })
}

function describeEndsPatches({ loadEnds, expectClose }: EngineUnderTest): void {
  for (const tiedHead of [false, true]) {
    it(`changes embedding, final norm and head${tiedHead ? ', which is the embedding' : ''}`, async () => {
      const config = tinyConfig({ tiedHead })
      const model = randomModel(config, 61)
      const ends = await loadEnds(model)
      const full = randomEndsPatch(config, 12)
      const choices = [...full.deltas.map((delta) => ({ deltas: [delta], scales: [] })), full]
      for (const patch of choices) {
        const expected = await oracle(model, someTokens, { patches: [patch] })
        const patches = [await ends.loadPatch(patch)]
        expectClose(await ends.embed(someTokens, { patches }), expected.hidden[0] as Float64Array)
        expectClose(await ends.logits(Float32Array.from(outputOf(expected)), { patches }), expected.logits)
      }
      const base = await oracle(model, someTokens)
      expectClose(await ends.embed(someTokens), base.hidden[0] as Float64Array)
      expectClose(await ends.logits(Float32Array.from(outputOf(base))), base.logits)
    })
  }

  it('adds to other patches, and leaves out what is of the blocks', async () => {
    const config = tinyConfig()
    const model = randomModel(config, 62)
    const ends = await loadEnds(model)
    const [a, b] = [randomEndsPatch(config, 13), randomEndsPatch(config, 14)]
    const expected = await oracle(model, someTokens, { patches: [a, b] })
    const inBlocks = randomPatch(config, 15)
    const outside = await ends.loadPatch(inBlocks)
    expect(outside.weightBytes).toBe(0)
    const loaded = await Promise.all(
      [{ ...inBlocks, deltas: [...a.deltas, ...inBlocks.deltas] }, b].map((patch) => ends.loadPatch(patch)),
    )
    const patches = [...loaded, outside]
    expectClose(await ends.embed(someTokens, { patches }), expected.hidden[0] as Float64Array)
    expectClose(await ends.logits(Float32Array.from(outputOf(expected)), { patches }), expected.logits)
  })

  it('is refused once disposed, and by other ends', async () => {
    const config = tinyConfig()
    const model = randomModel(config, 63)
    const [ends, others] = [await loadEnds(model), await loadEnds(model)]
    const patches = [await ends.loadPatch(randomEndsPatch(config, 16))]
    await expect(others.embed(someTokens, { patches })).rejects.toMatchObject(misuse)
    patches[0]?.dispose()
    await expect(ends.embed(someTokens, { patches })).rejects.toThrow('disposed')
    await expect(ends.logits(new Float32Array(32), { patches })).rejects.toMatchObject(misuse)
  })
}

function describeMismatches({ loadSpan, loadEnds }: EngineUnderTest): void {
  const { query } = tensorNames.block(0)
  const delta = (tensor: string, indices: readonly number[], values: readonly number[]): PatchWeights => ({
    deltas: [{ tensor, indices: Uint32Array.from(indices), values: Float32Array.from(values) }],
    scales: [],
  })
  const scale = (block: number, target: ScaleTarget, values: Float32Array): PatchWeights => ({
    deltas: [],
    scales: [{ block, target, values }],
  })
  const twice = ({ deltas, scales, factors = [] }: PatchWeights) => ({
    deltas: [...deltas, ...deltas],
    scales: [...scales, ...scales],
    factors: [...factors, ...factors],
  })
  const factor = (tensor: string, rank: number, left: number, right: number, value = 1): PatchWeights => ({
    deltas: [],
    scales: [],
    factors: [{ tensor, rank, left: new Float32Array(left).fill(value), right: new Float32Array(right).fill(value) }],
  })
  const bad: Readonly<Record<string, PatchWeights>> = {
    'a tensor nobody has': delta('model.layers.0.self_attn.z_proj.weight', [0], [1]),
    'a tensor of a block the model does not have': delta(tensorNames.block(3).query, [0], [1]),
    'a tensor of another architecture': delta(tensorNames.block(0).queryBias, [0], [1]),
    'a head of its own where it is tied': delta(tensorNames.head, [0], [1]),
    'a name from the object’s prototype': delta('constructor', [0], [1]),
    'an index past the end': delta(query, [5, 64 * 32], [1, 1]),
    'indices that do not ascend': delta(query, [7, 6], [1, 1]),
    'an index twice': delta(query, [6, 6], [1, 1]),
    'more indices than values': delta(query, [6, 7], [1]),
    'a value that is no number': delta(query, [6], [Number.NaN]),
    'an infinite value': delta(tensorNames.finalNorm, [6], [Number.NEGATIVE_INFINITY]),
    'a tensor twice': twice(delta(query, [6], [1])),
    'a scale of a block the model does not have': scale(3, 'key', new Float32Array(32)),
    'a scale of half a block': scale(0.5, 'key', new Float32Array(32)),
    'a scale of another length': scale(0, 'value', new Float32Array(31)),
    'an infinite scale': scale(2, 'feedForward', new Float32Array(48).fill(Number.POSITIVE_INFINITY)),
    'factors of a tensor nobody has': factor('model.layers.0.self_attn.z_proj.weight', 1, 64, 32),
    'factors of the embedding': factor(tensorNames.embedding, 1, 40, 32),
    'factors of a norm': factor(tensorNames.block(0).attentionNorm, 1, 32, 1),
    'factors of no rank': factor(query, 0, 0, 0),
    'factors of half a rank': factor(query, 1.5, 96, 48),
    'a left factor of another length': factor(query, 2, 64, 64),
    'a right factor of another length': factor(query, 2, 128, 32),
    'a factor that is no number': factor(query, 1, 64, 32, Number.NaN),
    'factors twice': twice(factor(query, 1, 64, 32)),
    'a scale twice': twice(scale(1, 'value', new Float32Array(32))),
  }

  it('is refused by runner and ends alike, wherever in the model it is wrong', async () => {
    const model = randomModel(tinyConfig({ tiedHead: true }), 64)
    const runner = await loadSpan(model, { span: { start: 0, end: 1 } })
    const ends = await loadEnds(model)
    for (const [what, patch] of Object.entries(bad)) {
      await expect(runner.loadPatch(patch), what).rejects.toMatchObject(mismatch)
      await expect(ends.loadPatch(patch), what).rejects.toMatchObject(mismatch)
    }
  })
}
