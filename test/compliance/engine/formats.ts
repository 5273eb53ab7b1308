/**
 * Rounded weights: an engine is compared with the oracle on the numbers its weights became, so that what is measured is
 * its arithmetic and not how well a few bits hold a weight.
 */
import { describe, expect, it } from 'vitest'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { entriesGradient } from '#core/numerics/block-backward.ts'
import { type WeightFormat, weightFormats } from '#core/ports/engine.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import {
  forwardInParts,
  inputOf,
  outputOf,
  randomDelta,
  randomEndsPatch,
  randomFloats,
  randomPatch,
  someTokens,
} from './inputs.ts'
import { oracle, oracleBackward } from './oracle.ts'
import type { EngineUnderTest, Tolerances } from './under-test.ts'

/** Rows of several groups, whole and not, for groups of 16 up to 128. */
const roundedShapes: Readonly<Record<string, Partial<ModelConfig>>> = {
  'rows of whole groups': { hiddenSize: 128, intermediateSize: 256, headCount: 4, headSize: 32, blockCount: 2 },
  'rows that end within a group': { hiddenSize: 80, intermediateSize: 144, headCount: 3, kvHeadCount: 1, headSize: 24 },
  'biases, norms and a tied head': { hiddenSize: 64, attentionBias: true, queryKeyNorm: true, tiedHead: true },
}

export function describeFormats(suite: EngineUnderTest): void {
  const { formats = {} } = suite.options
  describe('weight formats', () => {
    it('are all measured here', () => {
      const measured = weightFormats.filter((format) => format === 'float32' || formats[format])
      expect(suite.engine().formats.toSorted()).toEqual(measured.toSorted())
    })
    for (const format of weightFormats) {
      const tolerances = formats[format]
      if (tolerances && format !== 'float32') describeFormat(suite, format, tolerances)
    }
  })
}

function describeFormat(suite: EngineUnderTest, format: WeightFormat, tolerances: Tolerances): void {
  const { tolerance, gradientTolerance = tolerance } = tolerances
  const { loadSpan, loadEnds, expectClose } = suite
  const round = (tensor: Parameters<NonNullable<typeof suite.options.roundWeights>>[1]) =>
    suite.options.roundWeights?.(format, tensor) ?? tensor.values

  describe(format, () => {
    for (const [shape, changes] of Object.entries(roundedShapes)) {
      it(`computes what core/numerics computes with the rounded weights: ${shape}`, async () => {
        const model = randomModel(tinyConfig(changes), 120)
        const expected = await oracle(model, someTokens, { round })
        const [runner, ends] = [await loadSpan(model, { format }), await loadEnds(model, { format })]
        expectClose(await ends.embed(someTokens), inputOf(expected), tolerance)
        for (const parts of [[9], [4, 1, 1, 3]]) {
          const session = runner.openSession({ maxLength: 9 })
          const hidden = await forwardInParts(session, inputOf(expected), parts)
          expectClose(hidden, outputOf(expected), tolerance)
        }
        expectClose(await ends.logits(Float32Array.from(outputOf(expected))), expected.logits, tolerance)
      })
    }

    it('adds patches to the rounded weights, each session its own, in one batch', async () => {
      const config = tinyConfig(roundedShapes['rows of whole groups'])
      const model = randomModel(config, 121)
      const choices = [[], [randomPatch(config, 1)], [randomPatch(config, 2), randomPatch(config, 3)]] as const
      const expected = await Promise.all(choices.map((patches) => oracle(model, someTokens, { patches, round })))
      const runner = await loadSpan(model, { format })
      const steps = await Promise.all(
        choices.map(async (patches, i) => ({
          session: runner.openSession({
            maxLength: 9,
            patches: await Promise.all(patches.map((patch) => runner.loadPatch(patch))),
          }),
          hidden: inputOf(expected[i]),
        })),
      )
      for (const [i, output] of (await runner.forward(steps)).entries()) {
        expectClose(output, outputOf(expected[i]), tolerance)
      }
    })

    it('adds patches to the rounded head', async () => {
      const config = tinyConfig(roundedShapes['biases, norms and a tied head'])
      const model = randomModel(config, 122)
      const patch = randomEndsPatch(config, 4)
      const expected = await oracle(model, someTokens, { patches: [patch], round })
      const ends = await loadEnds(model, { format })
      const patches = [await ends.loadPatch(patch)]
      expectClose(await ends.embed(someTokens, { patches }), inputOf(expected), tolerance)
      expectClose(await ends.logits(Float32Array.from(outputOf(expected)), { patches }), expected.logits, tolerance)
    })

    it('goes backward through the rounded weights, with patches, to inputs and parameters', async () => {
      const config = tinyConfig(roundedShapes['rows that end within a group'])
      const model = randomModel(config, 123)
      const patch = randomPatch(config, 5)
      const runner = await loadSpan(model, { format })
      const name = tensorNames.block(1).gate
      const { indices } = randomDelta(config, name, 6)
      for (const tokens of [1, 9]) {
        const rows = { hidden: randomFloats(tokens * 80, 7), outputGradient: randomFloats(tokens * 80, 8) }
        const expected = await oracleBackward(model, { span: runner.span, ...rows }, { patches: [patch], round })
        const result = await runner.backward({
          ...rows,
          patches: [await runner.loadPatch(patch)],
          parameters: [
            { kind: 'entries', name, indices },
            { kind: 'scale', block: 2, target: 'feedForward' },
          ],
        })
        const [, second, third] = expected.blocks
        const gate = second ? entriesGradient(second, 'gate', indices) : []
        expectClose(result.inputGradient, expected.input, gradientTolerance)
        expectClose(result.parameterGradients[0] ?? [], gate, gradientTolerance)
        expectClose(result.parameterGradients[1] ?? [], third?.scales.feedForward ?? [], gradientTolerance)
      }
    })

    it('holds fewer bytes than float32', async () => {
      const model = randomModel(tinyConfig(roundedShapes['rows of whole groups']), 124)
      const bytesIn = async (each: WeightFormat) => (await loadSpan(model, { format: each })).weightBytes
      expect(await bytesIn(format)).toBeLessThan(0.7 * (await bytesIn('float32')))
    })
  })
}
