/**
 * A perceptron with two hidden layers, for experiments that take seconds: pixels, ReLU, ReLU, softmax. Tensors in the order
 * of the forward pass; matrices are (in, out), so that a zero in an activation skips a whole row, forward and backward.
 * Hidden activations can be scaled by vectors, as (IA)³ does.
 */
import { createRandom } from '#core/numerics/random.ts'
import type { Digits } from './digits.ts'

export interface Mlp {
  /** Of each layer's activations, input and output included. */
  readonly sizes: readonly number[]
  /** Weights and bias of each layer, in turn: (in, out), (out,). */
  readonly tensors: readonly Float32Array[]
}

/** One vector for each hidden layer; ones change nothing. */
export type HiddenScales = readonly Float32Array[]

export function createMlp(sizes: readonly number[], seed: number): Mlp {
  const random = createRandom(seed)
  const tensors = sizes.slice(1).flatMap((outputs, layer) => {
    const inputs = sizes[layer] as number
    const bound = Math.sqrt(6 / inputs) // He et al. 2015, uniform
    return [
      Float32Array.from({ length: inputs * outputs }, () => (random() * 2 - 1) * bound),
      new Float32Array(outputs),
    ]
  })
  return { sizes, tensors }
}

export function copyMlp({ sizes, tensors }: Mlp): Mlp {
  return { sizes, tensors: tensors.map((tensor) => tensor.slice()) }
}

export function parameterCount({ tensors }: Mlp): number {
  return tensors.reduce((sum, { length }) => sum + length, 0)
}

export function identityScales({ sizes }: Mlp): Float32Array[] {
  return sizes.slice(1, -1).map((size) => new Float32Array(size).fill(1))
}

/** Scales of a hidden layer, multiplied into the rows of the matrix behind it: the same function without scales. */
export function foldScales(model: Mlp, scales: HiddenScales): Mlp {
  const folded = copyMlp(model)
  for (const [hidden, scale] of scales.entries()) {
    const weights = folded.tensors[2 * (hidden + 1)] as Float32Array
    const outputs = weights.length / scale.length
    for (let place = 0; place < weights.length; place++) {
      weights[place] = (weights[place] as number) * (scale[Math.floor(place / outputs)] as number)
    }
  }
  return folded
}

/** Of one example: activations of every layer, after ReLU and scales; the last are logits. */
interface Trace {
  readonly activations: readonly Float64Array[]
  /** Hidden activations before they were scaled. */
  readonly unscaled: readonly Float64Array[]
}

function forward({ sizes, tensors }: Mlp, pixels: Float32Array, scales: HiddenScales | undefined): Trace {
  const activations: Float64Array[] = [Float64Array.from(pixels)]
  const unscaled: Float64Array[] = []
  for (let layer = 0; layer + 1 < sizes.length; layer++) {
    const output = affine(activations[layer] as Float64Array, tensors[2 * layer], tensors[2 * layer + 1])
    if (layer + 2 < sizes.length) {
      for (let o = 0; o < output.length; o++) output[o] = Math.max(0, output[o] as number)
      unscaled.push(output.slice())
      const scale = scales?.[layer]
      if (scale !== undefined)
        for (let o = 0; o < output.length; o++) output[o] = (output[o] as number) * (scale[o] as number)
    }
    activations.push(output)
  }
  return { activations, unscaled }
}

function affine(input: Float64Array, weights: Float32Array | undefined, bias: Float32Array | undefined): Float64Array {
  const output = Float64Array.from(bias as Float32Array)
  const outputs = output.length
  for (let i = 0; i < input.length; i++) {
    const x = input[i] as number
    if (x === 0) continue
    const row = i * outputs
    for (let o = 0; o < outputs; o++)
      output[o] = (output[o] as number) + x * ((weights as Float32Array)[row + o] as number)
  }
  return output
}

/** (10,) logits of one example. */
export function logitsOf(model: Mlp, pixels: Float32Array, scales?: HiddenScales): Float64Array {
  return forward(model, pixels, scales).activations.at(-1) as Float64Array
}

/** What reaches each layer's output from the loss of one example, and the activations on the way. */
interface Signals extends Trace {
  /** ∂loss / ∂(output of layer), before ReLU and scales. */
  readonly deltas: readonly Float64Array[]
  /** ∂loss / ∂(scale of hidden layer). */
  readonly scaleGradients: readonly Float64Array[]
}

function backward(model: Mlp, pixels: Float32Array, label: number, scales: HiddenScales | undefined): Signals {
  const trace = forward(model, pixels, scales)
  const layers = model.sizes.length - 1
  const deltas: Float64Array[] = new Array(layers)
  const scaleGradients: Float64Array[] = new Array(layers - 1)
  let delta = softmaxError(trace.activations[layers] as Float64Array, label)
  for (let layer = layers - 1; layer >= 0; layer--) {
    deltas[layer] = delta
    if (layer === 0) break
    const weights = model.tensors[2 * layer] as Float32Array
    const hidden = trace.unscaled[layer - 1] as Float64Array
    const scale = scales?.[layer - 1]
    const before = new Float64Array(hidden.length)
    const scaled = new Float64Array(hidden.length)
    for (let i = 0; i < hidden.length; i++) {
      if (hidden[i] === 0) continue
      let sum = 0
      for (let o = 0; o < delta.length; o++) sum += (weights[i * delta.length + o] as number) * (delta[o] as number)
      scaled[i] = sum * (hidden[i] as number)
      before[i] = sum * (scale?.[i] ?? 1)
    }
    scaleGradients[layer - 1] = scaled
    delta = before
  }
  return { ...trace, deltas, scaleGradients }
}

/** softmax(logits) - onehot(label) */
function softmaxError(logits: Float64Array, label: number): Float64Array {
  const largest = Math.max(...logits)
  const exponentials = logits.map((logit) => Math.exp(logit - largest))
  const sum = exponentials.reduce((total, value) => total + value, 0)
  return exponentials.map((value, index) => value / sum - (index === label ? 1 : 0))
}

export type Batch = readonly number[]

const picture = ({ pixels, labels }: Digits, index: number) => {
  const length = pixels.length / labels.length
  return pixels.subarray(index * length, (index + 1) * length)
}

/** Gradients of the batch's summed loss, one for each tensor. With `square`, of single examples, squared, then added up. */
function sumGradients(model: Mlp, digits: Digits, batch: Batch, square: boolean): Float32Array[] {
  const sums = model.tensors.map(({ length }) => new Float32Array(length))
  for (const index of batch) {
    const { activations, deltas } = backward(model, picture(digits, index), digits.labels[index] as number, undefined)
    for (const [layer, raw] of deltas.entries()) {
      const delta = square ? raw.map((value) => value * value) : raw
      const input = activations[layer] as Float64Array
      const [weights, bias] = [sums[2 * layer] as Float32Array, sums[2 * layer + 1] as Float32Array]
      for (let o = 0; o < delta.length; o++) bias[o] = (bias[o] as number) + (delta[o] as number)
      for (let i = 0; i < input.length; i++) {
        const x = square ? (input[i] as number) ** 2 : (input[i] as number)
        if (x === 0) continue
        const row = i * delta.length
        for (let o = 0; o < delta.length; o++)
          weights[row + o] = (weights[row + o] as number) + x * (delta[o] as number)
      }
    }
  }
  return sums
}

export function gradients(model: Mlp, digits: Digits, batch: Batch): Float32Array[] {
  return sumGradients(model, digits, batch, false)
}

/**
 * Squares of single examples' gradients, added up: the empirical Fisher times their number. In a layer without shared weights
 * the gradient of a weight is activation times delta, so its square is the product of squares.
 */
export function squaredGradients(model: Mlp, digits: Digits, batch: Batch): Float32Array[] {
  return sumGradients(model, digits, batch, true)
}

/** As `gradients`, at the mask's places only; the rest is never formed. */
export function maskedGradients(
  model: Mlp,
  digits: Digits,
  batch: Batch,
  mask: readonly Uint32Array[],
): Float32Array[] {
  const sums = mask.map(({ length }) => new Float32Array(length))
  for (const index of batch) {
    const { activations, deltas } = backward(model, picture(digits, index), digits.labels[index] as number, undefined)
    for (const [layer, delta] of deltas.entries()) {
      const input = activations[layer] as Float64Array
      const [inWeights, inBias] = [mask[2 * layer] as Uint32Array, mask[2 * layer + 1] as Uint32Array]
      const [weights, bias] = [sums[2 * layer] as Float32Array, sums[2 * layer + 1] as Float32Array]
      for (let k = 0; k < inWeights.length; k++) {
        const place = inWeights[k] as number
        const x = input[Math.floor(place / delta.length)] as number
        weights[k] = (weights[k] as number) + x * (delta[place % delta.length] as number)
      }
      for (let k = 0; k < inBias.length; k++) bias[k] = (bias[k] as number) + (delta[inBias[k] as number] as number)
    }
  }
  return sums
}

/** Gradients of the batch's summed loss, one for each vector. */
export function scaleGradients(model: Mlp, digits: Digits, batch: Batch, scales: HiddenScales): Float32Array[] {
  const sums = scales.map(({ length }) => new Float32Array(length))
  for (const index of batch) {
    const signals = backward(model, picture(digits, index), digits.labels[index] as number, scales)
    for (const [hidden, gradient] of signals.scaleGradients.entries()) {
      const sum = sums[hidden] as Float32Array
      for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (gradient[i] as number)
    }
  }
  return sums
}

/** Share of digits that the model names right. */
export function accuracy(model: Mlp, digits: Digits, scales?: HiddenScales): number {
  let right = 0
  for (const [index, label] of digits.labels.entries()) {
    const logits = logitsOf(model, picture(digits, index), scales)
    if (logits.indexOf(Math.max(...logits)) === label) right++
  }
  return right / digits.labels.length
}
