/**
 * Reverse mode of y = x Wᵀ + b, with dy = ∂L/∂y. The gradient of W is the product of two thin matrices, dyᵀ x: whoever needs
 * a few entries of it computes these alone.
 */
import { at, type Floats } from './floats.ts'

/** dx = dy W. `outputGradient`: (tokens, outputSize), `weight`: (outputSize, inputSize) -> (tokens, inputSize) */
export function linearInputGradient(outputGradient: Floats, weight: Floats, inputSize: number): Float64Array {
  const outputSize = weight.length / inputSize
  const tokens = outputGradient.length / outputSize
  const inputGradient = new Float64Array(tokens * inputSize)
  for (let t = 0; t < tokens; t++) {
    for (let o = 0; o < outputSize; o++) {
      const dy = at(outputGradient, t * outputSize + o)
      for (let i = 0; i < inputSize; i++) {
        const place = t * inputSize + i
        inputGradient[place] = at(inputGradient, place) + dy * at(weight, o * inputSize + i)
      }
    }
  }
  return inputGradient
}

/** What the gradient of W is made of. */
export interface LinearFactors {
  readonly input: Floats // (tokens, inputSize)
  readonly outputGradient: Floats // (tokens, outputSize)
  readonly tokens: number
}

/** dW = dyᵀ x -> (outputSize, inputSize) */
export function linearWeightGradient({ input, outputGradient, tokens }: LinearFactors): Float64Array {
  const inputSize = input.length / tokens
  const outputSize = outputGradient.length / tokens
  const gradient = new Float64Array(outputSize * inputSize)
  for (let t = 0; t < tokens; t++) {
    for (let o = 0; o < outputSize; o++) {
      const dy = at(outputGradient, t * outputSize + o)
      for (let i = 0; i < inputSize; i++) {
        const place = o * inputSize + i
        gradient[place] = at(gradient, place) + dy * at(input, t * inputSize + i)
      }
    }
  }
  return gradient
}

/** db = Σₜ dy. (tokens, outputSize) -> (outputSize,) */
export function biasGradient(outputGradient: Floats, outputSize: number): Float64Array {
  const gradient = new Float64Array(outputSize)
  for (const [place, dy] of outputGradient.entries()) {
    gradient[place % outputSize] = at(gradient, place % outputSize) + dy
  }
  return gradient
}

/** ⟨a, b⟩ summed over tokens, element by element: the gradient of s in y = s ⊙ a, with b = dy. -> (size,) */
export function scaleGradient(a: Floats, b: Floats, size: number): Float64Array {
  const gradient = new Float64Array(size)
  for (const [place, value] of a.entries()) {
    gradient[place % size] = at(gradient, place % size) + value * at(b, place)
  }
  return gradient
}

/** One entry of dyᵀ x, at row-major `index`: Σₜ dy[t, o] x[t, i] with o = ⌊index / inputSize⌋, i = index mod inputSize. */
export function linearWeightGradientAt({ input, outputGradient, tokens }: LinearFactors, index: number): number {
  const inputSize = input.length / tokens
  const outputSize = outputGradient.length / tokens
  const output = Math.floor(index / inputSize)
  const column = index % inputSize
  let sum = 0
  for (let t = 0; t < tokens; t++) {
    sum += at(outputGradient, t * outputSize + output) * at(input, t * inputSize + column)
  }
  return sum
}
