/**
 * LoRA as a control of about a mask's size (Hu et al. 2022): every matrix of the blocks changes by B A, with A random and B
 * zero at first. The trainee gives the matrices' whole gradients G; dB = G Aᵀ, dA = Bᵀ G.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { createRandom } from '#core/numerics/random.ts'
import type { Trainee, TrainingExample } from '#core/ports/training-engine.ts'

interface Factors {
  readonly rows: number
  readonly columns: number
  readonly base: Float32Array
  readonly left: Adam // (rows, rank)
  readonly right: Adam // (rank, columns)
}

interface Adam {
  readonly values: Float32Array
  readonly first: Float32Array
  readonly second: Float32Array
}

export async function createLora(
  trainee: Trainee,
  config: ModelConfig,
  { rank, seed }: { readonly rank: number; readonly seed: number },
) {
  const shapes = new Map(expectedTensors(config).map(({ name, shape }) => [name, shape]))
  const random = createRandom(seed + 3_000)
  const factors: Factors[] = []
  for (const [p, parameter] of trainee.parameters.entries()) {
    const [rows = 0, columns = 0] = shapes.get(parameter.kind === 'scale' ? '' : parameter.name) ?? []
    const right = adam(rank * columns)
    right.values.forEach((_, i) => {
      right.values[i] = (random() * 2 - 1) * Math.sqrt(3 / columns)
    })
    factors.push({ rows, columns, base: await trainee.values(p), left: adam(rows * rank), right })
  }
  let steps = 0

  async function step(batch: readonly TrainingExample[], learningRate: number): Promise<number> {
    const { lossSum, weightSum, gradients } = await trainee.gradients(batch)
    const updates = factors.map((one, p) => factorGradients(one, gradients[p] as Float32Array, rank, 1 / weightSum))
    steps += 1
    for (const [p, one] of factors.entries()) {
      const { left, right } = updates[p] as ReturnType<typeof factorGradients>
      update(one.left, left, learningRate, steps)
      update(one.right, right, learningRate, steps)
      await trainee.setValues(p, merged(one, rank))
    }
    return lossSum / weightSum
  }
  return { trained: factors.reduce((sum, { rows, columns }) => sum + rank * (rows + columns), 0), step }
}

function adam(length: number): Adam {
  return { values: new Float32Array(length), first: new Float32Array(length), second: new Float32Array(length) }
}

function factorGradients({ rows, columns, left, right }: Factors, gradient: Float32Array, rank: number, scale: number) {
  const [dLeft, dRight] = [new Float32Array(left.values.length), new Float32Array(right.values.length)]
  for (let row = 0; row < rows; row++) {
    for (let r = 0; r < rank; r++) {
      const b = left.values[row * rank + r] as number
      let sum = 0
      for (let column = 0; column < columns; column++) {
        const g = (gradient[row * columns + column] as number) * scale
        sum += g * (right.values[r * columns + column] as number)
        dRight[r * columns + column] = (dRight[r * columns + column] as number) + b * g
      }
      dLeft[row * rank + r] = sum
    }
  }
  return { left: dLeft, right: dRight }
}

/** Adam (Kingma & Ba 2015), as the product's. */
function update({ values, first, second }: Adam, gradient: Float32Array, learningRate: number, step: number): void {
  const [beta1, beta2] = [0.9, 0.99]
  for (const [i, g] of gradient.entries()) {
    first[i] = beta1 * (first[i] as number) + (1 - beta1) * g
    second[i] = beta2 * (second[i] as number) + (1 - beta2) * g * g
    const mean = (first[i] as number) / (1 - beta1 ** step)
    const size = Math.sqrt((second[i] as number) / (1 - beta2 ** step)) + 1e-8
    values[i] = (values[i] as number) - (learningRate * mean) / size
  }
}

function merged({ rows, columns, base, left, right }: Factors, rank: number): Float32Array {
  const sum = base.slice()
  for (let row = 0; row < rows; row++) {
    for (let r = 0; r < rank; r++) {
      const b = left.values[row * rank + r] as number
      for (let column = 0; column < columns; column++) {
        const at = row * columns + column
        sum[at] = (sum[at] as number) + b * (right.values[r * columns + column] as number)
      }
    }
  }
  return sum
}
