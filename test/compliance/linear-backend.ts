/** What every `LinearBackend` promises, run on each: its products are those of `core/numerics` with the same weights. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { ModelFormatError } from '#core/errors.ts'
import { linear } from '#core/numerics/linear.ts'
import { rmsNorm } from '#core/numerics/rms-norm.ts'
import { swiglu } from '#core/numerics/swiglu.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import {
  type BlockProduct,
  type BlockProducts,
  blockProducts,
  type HeadProduct,
  type LinearBackend,
} from '#engines/shared/linear-backend.ts'
import { productRoles } from '#engines/shared/product-tensors.ts'
import { readBlockWeights } from '#engines/shared/read-weights.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'
import { createRandom, randomModel, tinyConfig } from '#test/fakes/model-handle.ts'

const shapes: Readonly<Record<string, Partial<ModelConfig>>> = {
  'rows that are whole groups of weights': { hiddenSize: 128, intermediateSize: 256, headCount: 4, headSize: 32 },
  'rows that end within a group': {},
  'heads of an odd size': { headSize: 22, headCount: 3, kvHeadCount: 1 },
}

export interface LinearBackendExpectations {
  /** Largest relative error that each of the formats may have. */
  readonly tolerances: Readonly<Partial<Record<WeightFormat, number>>>
  /** Whatever the backend holds now (tensors, handles), so that a test can see that it is freed. */
  readonly held?: () => number
}

export function describeLinearBackend(
  name: string,
  create: () => LinearBackend,
  { tolerances, held }: LinearBackendExpectations,
): void {
  describe(name, () => {
    const loaded: (BlockProducts | HeadProduct)[] = []
    let heldBefore = 0
    beforeEach(() => {
      heldBefore = held?.() ?? 0
    })
    afterEach(async () => {
      await Promise.all(loaded.splice(0).map((part) => part.dispose()))
      if (held) expect(held()).toBe(heldBefore)
    })

    async function loadBlock(model: ModelHandle, format: WeightFormat, index = 0): Promise<BlockProducts> {
      const block = await create().loadBlock(model, index, { threads: 1, format })
      loaded.push(block)
      return block
    }
    async function loadHead(model: ModelHandle, format: WeightFormat): Promise<HeadProduct> {
      const head = await create().loadHead(model, { threads: 1, format })
      loaded.push(head)
      return head
    }

    it('has a tolerance for each of its formats, and says its numerics class', () => {
      const backend = create()
      expect(Object.keys(tolerances).sort()).toEqual([...backend.formats].sort())
      for (const format of backend.formats) {
        const { backend: named, weights, kernelVersion } = backend.numericsClass(format)
        expect({ named, weights }).toEqual({ named: backend.backend, weights: format })
        expect(kernelVersion).toMatch(/\d/)
      }
    })

    for (const [format, tolerance] of Object.entries(tolerances) as [WeightFormat, number][]) {
      describe(`with ${format} weights`, () => {
        for (const [shape, changes] of Object.entries(shapes)) {
          it(`multiplies as core/numerics does: ${shape}`, async () => {
            const model = randomModel(tinyConfig(changes), 1)
            const block = await loadBlock(model, format, 1)
            for (const product of blockProducts) {
              const matrix = await productMatrix(model, 1, product)
              for (const rows of [1, 3, 33]) {
                const x = randomRows(rows, matrix.columns, rows)
                const expected = linear(x, matrix.values, matrix.columns)
                expect(relativeError(await block.run(product, x), expected), `${product}, ${rows} rows`).toBeLessThan(
                  tolerance,
                )
              }
            }
          })
        }

        it('finishes a block in one call as by its parts, where it can', async () => {
          const model = randomModel(tinyConfig(shapes['rows that are whole groups of weights']), 2)
          const { hiddenSize, rmsNormEpsilon, headCount, headSize } = model.manifest.config
          const block = await loadBlock(model, format)
          if (!block.finish) return
          const attended = randomRows(5, headCount * headSize, 3)
          const residual = randomRows(5, hiddenSize, 4)
          const weights = await readBlockWeights(model, 0, {})
          const attention = linear(attended, weights.output, headCount * headSize)
          const h = residual.map((value, i) => value + (attention[i] as number))
          const fed = swiglu(rmsNorm(h, weights.feedForwardNorm, rmsNormEpsilon), weights, hiddenSize)
          const expected = h.map((value, i) => value + (fed[i] as number))
          const finished = await block.finish(attended, residual, Float32Array.from(weights.feedForwardNorm))
          expect(relativeError(finished, expected)).toBeLessThan(tolerance)
        })

        it('tells what it multiplies with, for gradients', async () => {
          const backend = create()
          const model = randomModel(tinyConfig(), 10)
          const block = await loadBlock(model, format, 1)
          const rounding = backend.numericsClass(format).activations === 'int8' ? 0.02 : 1e-5
          for (const product of blockProducts) {
            const { columns } = await productMatrix(model, 1, product)
            const x = randomRows(3, columns, 11)
            const expected = linear(x, await block.floats(product), columns)
            expect(relativeError(await block.run(product, x), expected), product).toBeLessThan(rounding)
          }
        })

        for (const tiedHead of [false, true]) {
          it(`multiplies with the ${tiedHead ? 'embedding as the head' : 'head'}`, async () => {
            const model = randomModel(tinyConfig({ tiedHead }), 3)
            const { hiddenSize } = model.manifest.config
            const tensor = await model.readTensor(tiedHead ? tensorNames.embedding : tensorNames.head)
            const x = randomRows(2, hiddenSize, 5)
            const expected = linear(x, new Float32Array(tensor.bytes.slice().buffer), hiddenSize)
            const head = await loadHead(model, format)
            expect(relativeError(await head.run(x), expected)).toBeLessThan(tolerance)
          })
        }

        it('takes bytes for weights as it says, at least those of the format', async () => {
          const model = randomModel(tinyConfig(), 4)
          const bits = { float32: 32, float16: 16, int8: 8, int4: 4 }[format]
          let elements = 0
          for (const product of blockProducts) elements += (await productMatrix(model, 0, product)).values.length
          const { weightBytes } = await loadBlock(model, format)
          expect(weightBytes).toBeGreaterThanOrEqual((elements * bits) / 8)
        })
      })
    }

    const format = Object.keys(tolerances)[0] as WeightFormat

    it('keeps neither what it is given nor what it gives', async () => {
      const model = randomModel(tinyConfig(), 5)
      const block = await loadBlock(model, format)
      const x = randomRows(2, model.manifest.config.hiddenSize, 6)
      const first = await block.run('gateUp', x.slice())
      const copy = first.slice()
      const reused = x.slice()
      const second = await block.run('gateUp', reused)
      reused.fill(7)
      first.fill(8)
      expect(second).toEqual(copy)
      expect(await block.run('gateUp', x)).toEqual(copy)
    })

    it('answers overlapping calls each with its own product', async () => {
      const model = randomModel(tinyConfig(), 6)
      const block = await loadBlock(model, format)
      const inputs = Array.from({ length: 4 }, (_, i) => randomRows(i + 1, model.manifest.config.hiddenSize, i))
      const alone: Float32Array[] = []
      for (const x of inputs) alone.push(await block.run('queryKeyValue', x))
      expect(await Promise.all(inputs.map((x) => block.run('queryKeyValue', x)))).toEqual(alone)
    })

    it('holds blocks side by side, each of which can go alone', async () => {
      const model = randomModel(tinyConfig(), 7)
      const x = randomRows(1, model.manifest.config.hiddenSize, 8)
      const kept = await loadBlock(model, format, 0)
      const dropped = await create().loadBlock(model, 1, { threads: 1, format })
      const before = await kept.run('gateUp', x)
      await dropped.dispose()
      expect(await kept.run('gateUp', x)).toEqual(before)
    })

    it('frees what it had loaded when a tensor is missing', async () => {
      const model = randomModel(tinyConfig(), 8)
      const broken: ModelHandle = {
        ...model,
        async readTensor(tensor, options) {
          if (tensor.endsWith('down_proj.weight')) throw new ModelFormatError(tensor, 'no such tensor')
          return await model.readTensor(tensor, options)
        },
      }
      await expect(create().loadBlock(broken, 0, { threads: 1, format })).rejects.toThrow(ModelFormatError)
    })

    it('does not begin to load what nobody waits for any more', async () => {
      const model = randomModel(tinyConfig(), 9)
      const options = { threads: 1, format, signal: AbortSignal.abort() }
      await expect(create().loadBlock(model, 0, options)).rejects.toThrow(/abort/i)
      await expect(create().loadHead(model, options)).rejects.toThrow(/abort/i)
    })
  })
}

/** The product's matrix (rows, columns), from the block's own. */
async function productMatrix(model: ModelHandle, index: number, product: BlockProduct) {
  const weights = await readBlockWeights(model, index, {})
  const parts = productRoles[product].map((role) => Array.from(weights[role] ?? []))
  const { hiddenSize, headCount, headSize, intermediateSize } = model.manifest.config
  const columns = {
    queryKeyValue: hiddenSize,
    output: headCount * headSize,
    gateUp: hiddenSize,
    down: intermediateSize,
  }
  return { values: Float32Array.from(parts.flat()), columns: columns[product] }
}

export function randomRows(rows: number, columns: number, seed: number): Float32Array {
  const random = createRandom(seed)
  return Float32Array.from({ length: rows * columns }, random)
}
