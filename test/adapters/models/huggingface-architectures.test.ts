/** Our numerics against transformers' own, architecture by architecture; `test/fixtures/architectures/make.py` made the logits. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseHuggingFaceConfig } from '#adapters/models/huggingface-config.ts'
import { type BlockTensorRole, tensorNames } from '#contracts/model/manifest.ts'
import { elementCount, expectedTensors } from '#core/models/expected-tensors.ts'
import { type BlockWeights, blockShapes } from '#core/numerics/block.ts'
import { modelForward } from '#core/numerics/model.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'

interface Fixture {
  readonly config: object
  readonly tokens: readonly number[]
  /** Names of all parameters, sorted: the index of a name seeds its values. */
  readonly parameters: readonly string[]
  readonly logits: readonly number[] // (tokens, vocabulary), float64
}

const folder = resolve(import.meta.dirname, '../../fixtures/architectures')
const names = readdirSync(folder).filter((name) => name.endsWith('.json'))

/** The fixture's weights: numbers in [-0.5, 0.5) from a 32-bit mixer, around 1 for norms. */
function valuesOf(name: string, index: number, count: number): Float64Array {
  const mean = name.endsWith('norm.weight') ? 1 : 0
  return Float64Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 2_654_435_761) + index * 40_503) | 0
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad)
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97)
    return mean + ((x ^ (x >>> 15)) >>> 0) / 2 ** 32 - 0.5
  })
}

describe.each(names)('transformers’ %s', (name) => {
  const fixture = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Fixture
  const { config } = parseHuggingFaceConfig(new TextEncoder().encode(JSON.stringify(fixture.config)))

  it('has the tensors that we expect of it', () => {
    expect([...fixture.parameters].sort()).toEqual(
      expectedTensors(config)
        .map((tensor) => tensor.name)
        .sort(),
    )
  })

  it('has the logits that we compute', () => {
    const shapes = new Map(expectedTensors(config).map((tensor) => [tensor.name, tensor.shape]))
    const read = (tensor: string) =>
      valuesOf(tensor, fixture.parameters.indexOf(tensor), elementCount(shapes.get(tensor) ?? []))
    const blocks = Array.from({ length: config.blockCount }, (_, index) => {
      const roles = Object.keys(blockShapes(config)) as BlockTensorRole[]
      return Object.fromEntries(roles.map((role) => [role, read(tensorNames.block(index)[role])])) as BlockWeights
    })
    const embedding = read(tensorNames.embedding)
    const head = config.tiedHead ? embedding : read(tensorNames.head)
    const { logits } = modelForward(
      fixture.tokens,
      { embedding, blocks, finalNorm: read(tensorNames.finalNorm), head },
      config,
    )
    expect(relativeError(logits, Float64Array.from(fixture.logits))).toBeLessThan(1e-12)
  })
})
