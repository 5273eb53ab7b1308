/** Matrix products in plain loops, with a look at what is multiplied: for tests of what `engines/blocks` does around them. */
import { productShapes } from '#engines/onnxruntime/part-graphs.ts'
import type { BlockProduct, LinearBackend } from '#engines/shared/linear-backend.ts'
import { productRoles, readHeadMatrix, readRoles } from '#engines/shared/product-tensors.ts'
import { decodeWeights } from '#engines/shared/read-weights.ts'

export interface PlainBackendInit {
  /** Called before each product of a block, which waits for it. */
  readonly onProduct?: (product: BlockProduct, rows: number) => void | Promise<void>
}

export function createPlainBackend({ onProduct }: PlainBackendInit = {}): LinearBackend {
  return {
    backend: 'plain',
    formats: ['float32'],
    numericsClass: () => ({
      backend: 'plain',
      kernelVersion: '1',
      weights: 'float32',
      weightGroup: null,
      activations: 'float32',
    }),
    async loadBlock(model, index, options) {
      const shapes = productShapes(model.manifest.config)
      const matrices = new Map<BlockProduct, Float32Array>()
      for (const [name, roles] of Object.entries(productRoles)) {
        const parts: Float32Array[] = []
        for await (const stored of readRoles(model, index, roles, options)) parts.push(decodeWeights(stored))
        matrices.set(name as BlockProduct, join(parts))
      }
      return {
        weightBytes: 0,
        async run(product, x) {
          const [, width] = shapes[product]
          await onProduct?.(product, x.length / width)
          return multiply(x, matrices.get(product) as Float32Array, width)
        },
        floats: async (product) => (matrices.get(product) as Float32Array).slice(),
        dispose: async () => {},
      }
    },
    async loadHead(model, options) {
      const head = decodeWeights(await readHeadMatrix(model, options))
      const { hiddenSize } = model.manifest.config
      return { weightBytes: 0, run: async (x) => multiply(x, head, hiddenSize), dispose: async () => {} }
    },
  }
}

/** x (rows, width) and w (out, width) -> x wᵀ (rows, out) */
function multiply(x: Float32Array, w: Float32Array, width: number): Float32Array {
  const out = w.length / width
  return Float32Array.from({ length: (x.length / width) * out }, (_, place) => {
    const [row, column] = [Math.floor(place / out) * width, (place % out) * width]
    let sum = 0
    for (let i = 0; i < width; i++) sum += (x[row + i] as number) * (w[column + i] as number)
    return sum
  })
}

function join(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
