/** How a matrix is held for a product: as floats, or as integers with group-wise scales. */
import type { NumericsClass, WeightFormat } from '#core/ports/engine.ts'
import type { Quantisation } from '../shared/quantise.ts'

export type MatrixFormat =
  | { readonly kind: 'floats'; readonly type: 'float32' | 'float16' }
  | { readonly kind: 'integers'; readonly quantisation: Quantisation }

export const weightFormats = ['float32', 'float16', 'int8', 'int4'] as const satisfies readonly WeightFormat[]

/** int8 is as fast with groups of 128 as with 32 and needs a fifth less memory; int4 keeps GGUF's 32 (decision 3). */
const groups = { int8: 128, int4: 32 } as const

/** The format of a matrix whose rows have `columns` elements: rows shorter than a group make the group shorter. */
export function matrixFormat(format: WeightFormat, columns: number): MatrixFormat {
  if (format === 'float32' || format === 'float16') return { kind: 'floats', type: format }
  const shortest = 2 ** Math.max(4, Math.floor(Math.log2(columns)))
  const quantisation = { bits: format === 'int8' ? 8 : 4, group: Math.min(groups[format], shortest) } as const
  return { kind: 'integers', quantisation }
}

/** Integer products round their activations to int8 with a scale a group, too (MatMulNBits, accuracy level 4). */
export function numericsOf(format: WeightFormat): Pick<NumericsClass, 'weights' | 'weightGroup' | 'activations'> {
  const integers = format === 'int8' || format === 'int4'
  return {
    weights: format,
    weightGroup: integers ? groups[format] : null,
    activations: integers ? 'int8' : 'float32',
  }
}
