import { at, dot, type Floats } from './floats.ts'

/** y = x Wᵀ. `x`: (tokens, inputSize), `weight`: (outputSize, inputSize) -> (tokens, outputSize) */
export function linear(x: Floats, weight: Floats, inputSize: number): Float64Array {
  const tokens = x.length / inputSize
  const outputSize = weight.length / inputSize
  const y = new Float64Array(tokens * outputSize)
  for (let t = 0; t < tokens; t++) {
    for (let o = 0; o < outputSize; o++) y[t * outputSize + o] = dot(x, t * inputSize, weight, o * inputSize, inputSize)
  }
  return y
}

/** `y`: (tokens, size) with `bias`: (size,) added to each row; `y` itself where a model has no bias. */
export function addBias(y: Float64Array, bias: Floats | undefined): Float64Array {
  return bias === undefined ? y : y.map((value, i) => value + at(bias, i % bias.length))
}

/** a + b, element by element: a residual connection. */
export function add(a: Floats, b: Floats): Float64Array {
  return Float64Array.from(a, (value, i) => value + (b[i] as number))
}
