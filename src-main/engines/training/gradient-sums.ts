/** Gradients of several runs added up, one array a parameter. */
import { freeFloats } from './program.ts'

export interface GradientSums {
  /** Adds `values` and takes them over: the first ones become the sum itself, later ones are freed. */
  add(parameter: number, values: Float32Array): void
  /** The sum so far, to be added to in place; zeros at first. */
  at(parameter: number): Float32Array
  all(): Float32Array[]
}

export function createGradientSums(lengths: readonly number[]): GradientSums {
  const sums: (Float32Array | undefined)[] = []
  const at = (parameter: number) => {
    const sum = sums[parameter] ?? new Float32Array(lengths[parameter] ?? 0)
    sums[parameter] = sum
    return sum
  }
  return {
    at,
    add(parameter, values) {
      const sum = sums[parameter]
      if (sum === undefined) {
        sums[parameter] = values
        return
      }
      for (let i = 0; i < values.length; i++) sum[i] = (sum[i] as number) + (values[i] as number)
      freeFloats(values)
    },
    all: () => lengths.map((_, parameter) => at(parameter)),
  }
}
