/** A workspace with kernels, and numbers to try them on. */
import { createKernels } from '#engines/kernels/kernels.ts'
import { createWorkspace, type Pointer } from '#engines/kernels/workspace.ts'

export function createMemory() {
  const workspace = createWorkspace()
  const kernels = createKernels(workspace)
  return {
    workspace,
    kernels,
    /** A copy of `values` in the workspace. */
    place(values: ArrayLike<number>): Pointer {
      const pointer = workspace.allocate(values.length * 4)
      workspace.floats(pointer, values.length).set(values)
      return pointer
    },
    placeIntegers(values: ArrayLike<number>): Pointer {
      const pointer = workspace.allocate(values.length * 4)
      workspace.integers(pointer, values.length).set(values)
      return pointer
    },
    read: (pointer: Pointer, length: number): Float32Array => workspace.floats(pointer, length).slice(),
  }
}

/** `length` numbers that look normally distributed, the same for one seed (mulberry32, Box-Muller). */
export function normals(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed >>> 0
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32
  }
  return Float32Array.from({ length }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()))
}

/** The largest difference, as a part of the largest magnitude expected. NaN when any number is. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0
  let magnitude = 1e-30
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs((actual[i] as number) - (expected[i] as number)))
    magnitude = Math.max(magnitude, Math.abs(expected[i] as number))
  }
  return difference / magnitude
}
