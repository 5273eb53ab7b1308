/** Training that stands on patches: as on a model with them merged in, and what is trained is a patch beside them. */
import { describe, expect, it } from 'vitest'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { PatchMismatchError } from '#core/errors.ts'
import { lossGradients } from '#core/numerics/model-backward.ts'
import type { PatchWeights } from '#core/ports/engine.ts'
import { randomModel } from '#test/fakes/model-handle.ts'
import { randomEndsPatch, randomPatch } from '../engine/inputs.ts'
import { oracleWeights, scalesOf, withoutScales } from '../engine/oracle.ts'
import {
  adam,
  allValues,
  entries,
  everything,
  expectedGradient,
  firstExample,
  smallConfig,
  type TrainingUnderTest,
  tensor,
} from './inputs.ts'

export function describeStandingPatches({ load, expectClose, tolerance }: TrainingUnderTest): void {
  describe('on patches', () => {
    for (const changes of [{}, { tiedHead: true }, { attentionBias: true, queryKeyNorm: true }] as const) {
      it(`has the loss and all gradients of the patched model with ${JSON.stringify(changes)}`, async () => {
        const config = smallConfig(changes)
        const on = [wholePatch(config, 3), wholePatch(config, 4)]
        const parameters = everything(config)
        const trainee = await load(config, parameters, { on })
        const { lossSum, gradients } = await trainee.gradients([firstExample])
        const expected = await expectedOn(config, on)
        expect(Math.abs(lossSum / expected.lossSum - 1)).toBeLessThan(tolerance)
        for (const [i, parameter] of parameters.entries()) {
          const gradient = expectedGradient(expected.gradients, parameter)
          if (parameter.kind !== 'scale') expectClose(gradients[i] ?? [], gradient)
          // A trained vector is all ones beside the standing one, so its slopes are that one's, times its values.
          else {
            const standing = scalesOf(on, parameter.block)[parameter.target] ?? []
            expectClose(
              gradients[i] ?? [],
              gradient.map((slope, k) => slope * (standing[k] as number)),
            )
          }
        }
      })
    }

    it('trains a delta that gives the same model when it is applied beside them', async () => {
      const config = smallConfig({})
      const on = [wholePatch(config, 5)]
      const { up, value } = tensorNames.block(1)
      const masks = [
        entries(up, [0, 5, 77, 300]),
        entries(value, [1, 8, 100]),
        entries(tensorNames.embedding, [3, 160]),
      ]
      const trainee = await load(config, masks, { on })
      const before = await allValues(trainee)
      for (let i = 0; i < 3; i++) await trainee.step([firstExample], adam)
      const after = await allValues(trainee)
      const deltas = masks.map(({ name, indices }, i) => ({
        tensor: name,
        indices,
        values: Float32Array.from(indices, (_, k) => (after[i]?.[k] as number) - (before[i]?.[k] as number)),
      }))
      const both = await load(config, [tensor(tensorNames.finalNorm)], { on: [...on, { deltas, scales: [] }] })
      const { lossSum } = await trainee.loss([firstExample])
      expect(Math.abs((await both.loss([firstExample])).lossSum / lossSum - 1)).toBeLessThan(1e-6)
      expect(Math.abs(lossSum / (await expectedOn(config, on)).lossSum - 1)).toBeGreaterThan(1e-4)
    })

    it('that do not fit the model is refused', async () => {
      const config = smallConfig({})
      const wrong: PatchWeights[] = [
        { deltas: [{ tensor: 'nothing', indices: new Uint32Array(), values: new Float32Array() }], scales: [] },
        { deltas: [], scales: [{ block: 2, target: 'key', values: new Float32Array(32) }] },
        {
          deltas: [],
          scales: [],
          factors: [
            { tensor: tensorNames.embedding, rank: 1, left: new Float32Array(40), right: new Float32Array(16) },
          ],
        },
      ]
      for (const patch of wrong) {
        await expect(load(config, [], { on: [{ deltas: [], scales: [] }, patch] })).rejects.toThrow(PatchMismatchError)
      }
    })
  })
}

/** Changes blocks and ends alike. */
function wholePatch(config: ModelConfig, seed: number): PatchWeights {
  const [blocks, ends] = [randomPatch(config, seed), randomEndsPatch(config, seed)]
  return { ...blocks, deltas: [...blocks.deltas, ...ends.deltas] }
}

async function expectedOn(config: ModelConfig, on: readonly PatchWeights[]) {
  const weights = await oracleWeights(randomModel(config, 1), { patches: on.map(withoutScales) })
  const scales = weights.blocks.map((_, block) => scalesOf(on, block))
  return lossGradients(firstExample.tokens, weights, config, { scales })
}
