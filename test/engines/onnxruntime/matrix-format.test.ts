import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matrixFormat, numericsOf } from '#engines/onnxruntime/matrix-format.ts'

describe('how a matrix is held', () => {
  test('floats as floats', () => {
    expect(matrixFormat('float32', 64)).toEqual({ kind: 'floats', type: 'float32' })
    expect(matrixFormat('float16', 64)).toEqual({ kind: 'floats', type: 'float16' })
  })

  test('integers in the groups that its numerics class tells, where rows are as long', () => {
    expect(matrixFormat('int8', 2048)).toEqual({ kind: 'integers', quantisation: { bits: 8, group: 128 } })
    expect(matrixFormat('int4', 2048)).toEqual({ kind: 'integers', quantisation: { bits: 4, group: 32 } })
    expect(numericsOf('int8')).toMatchObject({ weightGroup: 128, activations: 'int8' })
    expect(numericsOf('int4')).toMatchObject({ weightGroup: 32, activations: 'int8' })
    expect(numericsOf('float16')).toMatchObject({ weightGroup: null, activations: 'float32' })
  })

  test('shorter rows in shorter groups: a power of two from 16 on, never longer than the row unless it must be', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), fc.constantFrom('int8', 'int4'), (columns, format) => {
        const held = matrixFormat(format, columns)
        if (held.kind !== 'integers') throw new Error('integers are held as integers')
        const { group } = held.quantisation
        expect([16, 32, 64, 128]).toContain(group)
        if (group > 16) expect(group).toBeLessThanOrEqual(columns)
      }),
    )
  })
})
