/** Cosine and sine of every pair's angle at every position, shared by all blocks of a runner, made longer when needed. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { rotaryFrequencies } from '#core/numerics/rope.ts'
import type { Workspace } from '../kernels/workspace.ts'

export interface RotaryTables {
  /** Pointers to tables of at least `positions` rows of headSize / 2. Valid until the next call. */
  upTo(positions: number): { readonly cosine: number; readonly sine: number }
}

export function createRotaryTables(workspace: Workspace, config: ModelConfig): RotaryTables {
  const frequencies = rotaryFrequencies(config) // (headSize / 2,)
  const width = frequencies.length
  let made = 0
  let pointer = 0

  function make(positions: number): void {
    if (made > 0) workspace.free(pointer)
    made = 0
    pointer = workspace.allocate(2 * positions * width * Float32Array.BYTES_PER_ELEMENT)
    made = positions
    const cosine = workspace.floats(pointer, positions * width)
    const sine = workspace.floats(pointer + cosine.byteLength, positions * width)
    for (let position = 0; position < positions; position++) {
      for (let i = 0; i < width; i++) {
        const angle = position * (frequencies[i] as number)
        cosine[position * width + i] = Math.cos(angle)
        sine[position * width + i] = Math.sin(angle)
      }
    }
  }

  return {
    upTo(positions) {
      if (positions > made) make(Math.min(config.contextLength, Math.max(positions, 256, 2 * made)))
      return { cosine: pointer, sine: pointer + made * width * Float32Array.BYTES_PER_ELEMENT }
    },
  }
}
