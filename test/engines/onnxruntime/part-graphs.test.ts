import { describe, expect, test } from 'vitest'
import {
  blockGraph,
  inputOf,
  layOutBlock,
  layOutHead,
  outputOf,
  productGraph,
  productShapes,
} from '#engines/onnxruntime/part-graphs.ts'
import { codesOf, scalesOf } from '#engines/onnxruntime/weight-file.ts'
import { blockProducts } from '#engines/shared/linear-backend.ts'
import type { OnnxGraph } from '#engines/shared/onnx-model.ts'
import { tinyConfig } from '#test/fakes/model-handle.ts'

const config = tinyConfig()
const formats = ['float32', 'float16', 'int8', 'int4'] as const

/** Names that a node takes and nothing gives. */
function missing({ weights = [], inputs, nodes, outputs }: OnnxGraph): string[] {
  const given = new Set([...weights, ...inputs].map(({ name }) => name))
  const wanted = [...nodes.flatMap((node) => node.inputs), ...outputs.map(({ name }) => name)]
  for (const name of nodes.flatMap((node) => node.outputs)) given.add(name)
  return wanted.filter((name) => !given.has(name))
}

describe('a block’s matrices', () => {
  test('are those that share an input, rows one after the other', () => {
    const { hiddenSize, intermediateSize, headCount, kvHeadCount, headSize } = config
    expect(productShapes(config)).toEqual({
      queryKeyValue: [(headCount + 2 * kvHeadCount) * headSize, hiddenSize],
      output: [hiddenSize, headCount * headSize],
      gateUp: [2 * intermediateSize, hiddenSize],
      down: [hiddenSize, intermediateSize],
    })
  })

  test.each(formats)('in %s lie apart, in less than one page more than they need each', (format) => {
    const { weights, byteLength } = layOutBlock(config, format)
    const starts = weights.map(({ offsetBytes }) => offsetBytes)
    expect(starts).toEqual([...starts].sort((a, b) => a - b))
    expect(new Set(starts).size).toBe(starts.length)
    expect(byteLength).toBeGreaterThan(starts.at(-1) ?? 0)
    const parameters = Object.values(productShapes(config)).reduce((sum, [rows, columns]) => sum + rows * columns, 0)
    const perWeight = { float32: 4, float16: 2, int8: 1.25, int4: 0.75 }[format]
    // Rows here are shorter than groups are elsewhere: up to a third of a row's last group is filling.
    expect(byteLength).toBeLessThan(parameters * perWeight * 1.5 + weights.length * 4096)
  })
})

describe.each(formats)('graphs in %s', (format) => {
  test('take nothing that nobody gives', () => {
    const layout = layOutBlock(config, format)
    expect(missing(blockGraph(config, layout))).toEqual([])
    for (const product of blockProducts) expect(missing(productGraph(layout, product))).toEqual([])
    expect(missing(productGraph(layOutHead(config, format), 'head'))).toEqual([])
  })

  test('of one product hold its weights alone', () => {
    const layout = layOutBlock(config, format)
    for (const product of blockProducts) {
      const { weights = [], inputs, outputs } = productGraph(layout, product)
      const names = format.startsWith('int') ? [codesOf(product), scalesOf(product)] : [product]
      expect(weights.map(({ name }) => name)).toEqual(names)
      expect(inputs.map(({ name }) => name)).toEqual([inputOf(product)])
      expect(outputs.map(({ name }) => name)).toEqual([outputOf(product)])
    }
  })
})

test('a product that the part does not have is refused', () => {
  expect(() => productGraph(layOutHead(config, 'float32'), 'down')).toThrow(new RangeError('no matrix down'))
})
