import { describe, expect, test } from 'vitest'
import { createRotaryTables } from '#engines/blocks/rotary-tables.ts'
import { createWorkspace } from '#engines/kernels/workspace.ts'
import { tinyConfig } from '#test/fakes/model-handle.ts'

const config = tinyConfig({ contextLength: 2_000 })
const width = config.headSize / 2

function create(maximumBytes?: number) {
  const workspace = createWorkspace(maximumBytes === undefined ? {} : { maximumBytes })
  const tables = createRotaryTables(workspace, config)
  return {
    workspace,
    upTo(positions: number) {
      const { cosine, sine } = tables.upTo(positions)
      const length = positions * width
      return { cosine: workspace.floats(cosine, length).slice(), sine: workspace.floats(sine, length).slice() }
    },
  }
}

describe('rotary tables', () => {
  test('hold the cosine and sine of position times frequency', () => {
    const { cosine, sine } = create().upTo(300)
    for (const position of [0, 1, 299]) {
      for (let pair = 0; pair < width; pair++) {
        const angle = position * config.ropeTheta ** (-pair / width)
        expect(cosine[position * width + pair]).toBeCloseTo(Math.cos(angle), 6)
        expect(sine[position * width + pair]).toBeCloseTo(Math.sin(angle), 6)
      }
    }
  })

  test('grow without changing what was there, up to the model’s context', () => {
    const tables = create()
    const short = tables.upTo(10)
    for (const positions of [257, 1_000, config.contextLength]) {
      const long = tables.upTo(positions)
      expect(long.cosine.subarray(0, 10 * width)).toEqual(short.cosine)
      expect(long.sine.subarray(0, 10 * width)).toEqual(short.sine)
    }
  })

  test('take one region, however often they grow', () => {
    const { workspace, upTo } = create()
    const before = workspace.bytesInUse
    for (let positions = 1; positions <= config.contextLength; positions += 100) upTo(positions)
    upTo(config.contextLength)
    expect(workspace.bytesInUse - before).toBe(2 * config.contextLength * width * 4)
  })

  test('that found no room to grow are made again when there is', () => {
    const { workspace, upTo } = create(2 ** 17)
    upTo(10)
    const wanted = create().upTo(1_000)
    const taken = workspace.allocate(60_000)
    expect(() => upTo(2_000)).toThrow('bytes asked for')
    workspace.free(taken)
    expect(upTo(1_000)).toEqual(wanted)
  })
})
