import { describe, expect, it } from 'vitest'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import { createRandom } from '#test/fakes/model-handle.ts'
import { fileOf, readFile, verifier } from './example-patches.ts'
import { exampleSeeds, judge, mutate } from './mutations.ts'

describe('mutants by the thousand', () => {
  it('are each refused by name or sound', async () => {
    const seeds = await exampleSeeds()
    const random = createRandom(20_260_723)
    const outcomes = { read: 0, refused: 0 }
    for (let run = 0; run < 2_500; run++) outcomes[await judge(mutate(seeds, () => (random() + 1) / 2))]++
    expect(outcomes.refused).toBeGreaterThan(1_200)
    expect(outcomes.read).toBeGreaterThan(30)
  })

  it('do not get past a reader who checks signatures', async () => {
    const seeds = await exampleSeeds()
    const random = createRandom(5)
    const sound = new Set(seeds.map((seed) => Buffer.from(fileOf(seed)).toString('hex')))
    for (let run = 0; run < 500; run++) {
      const { file: mutant } = mutate(seeds, () => (random() + 1) / 2)
      if (sound.has(Buffer.from(mutant).toString('hex'))) continue
      await expect(readFile(mutant, verifier)).rejects.toThrow(PatchFormatError)
    }
  })
})
