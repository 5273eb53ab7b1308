/** What weights become in the backend's formats, from its own quantiser: the oracle computes with these. */
import type { WeightFormat } from '#core/ports/engine.ts'
import { matrixFormat } from '#engines/onnxruntime/matrix-format.ts'
import { dequantise, quantise } from '#engines/shared/quantise.ts'
import type { FloatTensor } from '#test/compliance/engine/oracle.ts'

/** Vectors stay float32, and so does the embedding's gather; a head is never less than int8 unless its file is. */
export function roundedWeights(format: WeightFormat, { name, shape, values }: FloatTensor): Float32Array {
  const [rows, columns] = shape
  if (rows === undefined || columns === undefined || name === 'model.embed_tokens.weight') return values
  const used = name === 'lm_head.weight' && format === 'int4' ? 'int8' : format
  const kind = matrixFormat(used, columns)
  if (kind.kind === 'integers') {
    return dequantise(quantise(values, rows, columns, kind.quantisation), rows, columns, kind.quantisation)
  }
  return kind.type === 'float16' ? Float32Array.from(new Float16Array(values)) : values
}
