import { elementCount, type OnnxWeight } from './onnx-model.ts'

/** Where each weight of a graph lies in one array of float32. */
export interface WeightLayout<Name extends string> {
  readonly weights: readonly OnnxWeight[]
  readonly bytes: number
  /** The part of `staging` (a whole array of this layout) that holds `name`. */
  view(staging: Float32Array, name: Name): Float32Array
}

/** Lays weights one after the other, in the order given. */
export function layOut<Name extends string>(shapes: Readonly<Record<Name, readonly number[]>>): WeightLayout<Name> {
  const weights: OnnxWeight[] = []
  const places = new Map<string, readonly [number, number]>()
  let end = 0
  for (const [name, shape] of Object.entries<readonly number[]>(shapes)) {
    weights.push({ name, shape, offset: end })
    places.set(name, [end, end + elementCount(shape)])
    end += elementCount(shape)
  }
  return {
    weights,
    bytes: end * Float32Array.BYTES_PER_ELEMENT,
    view: (staging, name) => staging.subarray(...(places.get(name) as [number, number])),
  }
}
