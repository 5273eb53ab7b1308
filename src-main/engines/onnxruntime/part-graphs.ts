/**
 * The two graphs: a block's products, and the head's. A runtime session runs all of a graph, so parts that a call does
 * not want are given inputs of no rows. The same weights stand in two nodes where a product is wanted alone and within
 * `finish`; the runtime packs equal weights once.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import { type BlockProduct, blockProducts } from '../shared/linear-backend.ts'
import type { OnnxGraph, OnnxNode, OnnxValue } from '../shared/onnx-model.ts'
import { matrixFormat } from './matrix-format.ts'
import { codesOf, layOutPart, type PartLayout, type PartMatrix, scalesOf } from './weight-file.ts'

/** (out, in) of each of a block's products. */
export function productShapes(config: ModelConfig): Readonly<Record<BlockProduct, readonly [number, number]>> {
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headSize } = config
  return {
    queryKeyValue: [(headCount + 2 * kvHeadCount) * headSize, hiddenSize],
    output: [hiddenSize, headCount * headSize],
    gateUp: [2 * intermediateSize, hiddenSize],
    down: [hiddenSize, intermediateSize],
  }
}

export function layOutBlock(config: ModelConfig, format: WeightFormat): PartLayout {
  const shapes = productShapes(config)
  const matrices = blockProducts.map((name) => partMatrix(name, shapes[name], format))
  return layOutPart(matrices)
}

export function layOutHead({ vocabularySize, hiddenSize }: ModelConfig, format: WeightFormat): PartLayout {
  return layOutPart([partMatrix('head', [vocabularySize, hiddenSize], format)])
}

function partMatrix(name: string, [rows, columns]: readonly [number, number], format: WeightFormat): PartMatrix {
  return { name, rows, columns, format: matrixFormat(format, columns) }
}

export const inputOf = (product: string): string => `${product}:input`
export const outputOf = (product: string): string => `${product}:output`

/** Inputs: one for each product, and `attended`, `residual` and `gain` for `finish`. Outputs: one a product, and `finished`. */
export function blockGraph(config: ModelConfig, layout: PartLayout): OnnxGraph {
  const { hiddenSize, headCount, headSize } = config
  return {
    weights: layout.weights,
    inputs: [
      ...layout.matrices.map(({ name, columns }) => rows(inputOf(name), `${name}Rows`, columns)),
      rows('attended', 'rows', headCount * headSize),
      rows('residual', 'rows', hiddenSize),
      { name: 'gain', type: 'float32', shape: [hiddenSize] },
    ],
    nodes: [
      ...layout.matrices.flatMap((matrix) => product(matrix, inputOf(matrix.name), outputOf(matrix.name))),
      ...finish(config, layout),
    ],
    outputs: [
      ...layout.matrices.map((matrix) => rows(outputOf(matrix.name), `${matrix.name}Rows`, matrix.rows)),
      rows('finished', 'rows', hiddenSize),
    ],
  }
}

/** One product by itself. */
export function productGraph(layout: PartLayout, name: string): OnnxGraph {
  const matrix = matrixOf(layout, name)
  return {
    weights: layout.weights.filter((weight) => [name, codesOf(name), scalesOf(name)].includes(weight.name)),
    inputs: [rows(inputOf(name), 'rows', matrix.columns)],
    nodes: product(matrix, inputOf(name), outputOf(name)),
    outputs: [rows(outputOf(name), 'rows', matrix.rows)],
  }
}

/** h = residual + attended Wᵀ_output; h + (silu(gate) ⊙ up) Wᵀ_down, with gate and up from norm(h) */
function finish({ rmsNormEpsilon }: ModelConfig, layout: PartLayout): OnnxNode[] {
  return [
    ...product(matrixOf(layout, 'output'), 'attended', 'attentionOutput'),
    { operator: 'Add', inputs: ['residual', 'attentionOutput'], outputs: ['h'] },
    {
      operator: 'SimplifiedLayerNormalization',
      inputs: ['h', 'gain'],
      outputs: ['normed'],
      attributes: { axis: { int: -1 }, epsilon: { float: rmsNormEpsilon } },
    },
    ...product(matrixOf(layout, 'gateUp'), 'normed', 'gateAndUp'),
    {
      operator: 'Split',
      inputs: ['gateAndUp'],
      outputs: ['gate', 'up'],
      attributes: { axis: { int: -1 }, num_outputs: { int: 2 } },
    },
    { operator: 'Sigmoid', inputs: ['gate'], outputs: ['gateSigmoid'] },
    { operator: 'Mul', inputs: ['gate', 'gateSigmoid'], outputs: ['gateSilu'] },
    { operator: 'Mul', inputs: ['gateSilu', 'up'], outputs: ['gated'] },
    ...product(matrixOf(layout, 'down'), 'gated', 'feedForwardOutput'),
    { operator: 'Add', inputs: ['h', 'feedForwardOutput'], outputs: ['finished'] },
  ]
}

/** x Wᵀ */
function product({ name, rows, columns, format }: PartMatrix, input: string, output: string): OnnxNode[] {
  if (format.kind === 'integers') {
    const { bits, group } = format.quantisation
    return [
      {
        operator: 'MatMulNBits',
        domain: 'com.microsoft',
        inputs: [input, codesOf(name), scalesOf(name)],
        outputs: [output],
        attributes: {
          K: { int: columns },
          N: { int: rows },
          bits: { int: bits },
          block_size: { int: group },
          // Activations as int8: the level that the runtime has vector kernels for (100 times the default's speed for int8).
          accuracy_level: { int: 4 },
        },
      },
    ]
  }
  const wide = format.type === 'float32' ? name : `${output}:weights`
  const widen: OnnxNode = { operator: 'Cast', inputs: [name], outputs: [wide], attributes: { to: { int: 1 } } }
  const multiply: OnnxNode = {
    operator: 'FusedMatMul',
    domain: 'com.microsoft',
    inputs: [input, wide],
    outputs: [output],
    attributes: { transB: { int: 1 } },
  }
  return format.type === 'float32' ? [multiply] : [widen, multiply]
}

function rows(name: string, rowCount: string, width: number): OnnxValue {
  return { name, type: 'float32', shape: [rowCount, width] }
}

function matrixOf(layout: PartLayout, name: string): PartMatrix {
  const matrix = layout.matrices.find((candidate) => candidate.name === name)
  if (!matrix) throw new RangeError(`no matrix ${name}`)
  return matrix
}
