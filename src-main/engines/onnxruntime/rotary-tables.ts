import { Tensor } from 'onnxruntime-node'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { ropeFrequencies } from '#core/numerics/rope.ts'
import { paddedHeadSize } from './head-padding.ts'

/** Cosine and sine of every pair's angle at every position, shared by all blocks of a runner. */
export interface RotaryTables {
  /** Tables of (at least `length`, paddedHeadSize / 2), made longer when needed. */
  upTo(length: number): { readonly cos: Tensor; readonly sin: Tensor }
}

export function createRotaryTables(config: ModelConfig): RotaryTables {
  let made = 0
  let tables = makeTables(config, made)
  return {
    upTo(length) {
      if (length > made) {
        made = Math.min(config.contextLength, Math.max(length, 256, 2 * made))
        tables = makeTables(config, made)
      }
      return tables
    },
  }
}

/** Pairs that exist only in the padding keep angle 0. */
function makeTables(config: ModelConfig, positions: number) {
  const frequencies = ropeFrequencies(config) // (headSize / 2,)
  const width = paddedHeadSize(config.headSize) / 2
  const cos = new Float32Array(positions * width).fill(1)
  const sin = new Float32Array(positions * width)
  for (let position = 0; position < positions; position++) {
    for (const [i, frequency] of frequencies.entries()) {
      cos[position * width + i] = Math.cos(position * frequency)
      sin[position * width + i] = Math.sin(position * frequency)
    }
  }
  const shape = [positions, width]
  return { cos: new Tensor('float32', cos, shape), sin: new Tensor('float32', sin, shape) }
}
