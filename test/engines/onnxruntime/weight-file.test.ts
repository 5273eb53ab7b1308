import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { Dtype } from '#contracts/model/manifest.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import type { StoredTensor } from '#core/ports/model-store.ts'
import { matrixFormat } from '#engines/onnxruntime/matrix-format.ts'
import { layOutPart, type PartLayout, readMatrix, writePart } from '#engines/onnxruntime/weight-file.ts'
import { dequantise, quantise } from '#engines/shared/quantise.ts'
import { normals } from '#test/engines/kernels/memory.ts'
import { quantise as toStored } from '#test/helpers/gguf-quantise.ts'

const folder = mkdtempSync(join(tmpdir(), 'quiltbee-weight-file-'))
afterAll(() => rmSync(folder, { recursive: true }))

const columns = 96
const formats = ['float32', 'float16', 'int8', 'int4'] as const

function stored(name: string, values: Float32Array, dtype: Dtype = 'F32'): StoredTensor {
  return { name, dtype, shape: [values.length / columns, columns], bytes: toStored(dtype, values) }
}

/** One matrix of two tensors, and one of one. */
const query = normals(5 * columns, 1)
const key = normals(3 * columns, 2)
const output = normals(2 * columns, 3)

function layOut(format: WeightFormat): PartLayout {
  const of = (name: string, rows: number) => ({ name, rows, columns, format: matrixFormat(format, columns) })
  return layOutPart([of('queryKey', 8), of('output', 2)])
}

async function write(layout: PartLayout, tensors: Readonly<Record<string, readonly StoredTensor[]>>): Promise<string> {
  const pieces: Uint8Array[] = []
  const source = async function* (name: string) {
    yield* tensors[name] ?? []
  }
  await writePart(layout, source, async (bytes) => void pieces.push(bytes.slice()))
  const path = join(folder, `part-${Math.random()}`)
  writeFileSync(path, Buffer.concat(pieces))
  return path
}

const whole = (dtype: Dtype = 'F32') => ({
  queryKey: [stored('q_proj', query, dtype), stored('k_proj', key, dtype)],
  output: [stored('o_proj', output, dtype)],
})

/** What the format makes of float32 weights. */
function rounded(values: Float32Array, format: WeightFormat): Float32Array {
  const kind = matrixFormat(format, columns)
  if (kind.kind === 'floats') return kind.type === 'float32' ? values : Float32Array.from(new Float16Array(values))
  const rows = values.length / columns
  return dequantise(quantise(values, rows, columns, kind.quantisation), rows, columns, kind.quantisation)
}

describe.each(formats)('a part in %s', (format) => {
  test('is as long as its layout says, every piece at a page’s start', async () => {
    const layout = layOut(format)
    const path = await write(layout, whole())
    expect(statSync(path).size).toBe(layout.byteLength)
    for (const { offsetBytes } of layout.weights) expect(offsetBytes % 4096).toBe(0)
  })

  test('gives each matrix back, its tensors’ rows one after the other', async () => {
    const layout = layOut(format)
    const path = await write(layout, whole())
    const joined = Float32Array.from([...rounded(query, format), ...rounded(key, format)])
    expect(await readMatrix(path, layout, 'queryKey')).toEqual(joined)
    expect(await readMatrix(path, layout, 'output')).toEqual(rounded(output, format))
  })

  test('takes what files store in other types', async () => {
    for (const dtype of ['F16', 'BF16', 'Q8_0'] as const) {
      const layout = layOut(format)
      const path = await write(layout, whole(dtype))
      const values = decodeFloats(dtype, toStored(dtype, output))
      expect(await readMatrix(path, layout, 'output'), dtype).toEqual(rounded(values, format))
    }
  })

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'is not made of weights with %s in them: the tensor and the element are named',
    async (wrong) => {
      for (const dtype of ['F32', 'F16', 'BF16'] as const) {
        const broken = output.slice()
        broken[100] = wrong
        const tensors = { ...whole(dtype), output: [stored('o_proj', broken, dtype)] }
        await expect(write(layOut(format), tensors), dtype).rejects.toMatchObject({
          name: 'ModelFormatError',
          params: { where: 'o_proj', what: `element 100 is ${wrong}` },
        })
      }
    },
  )
})

test('four-bit blocks of GGUF are taken as they are', async () => {
  const layout = layOut('int4')
  const path = await write(layout, whole('Q4_0'))
  expect(await readMatrix(path, layout, 'output')).toEqual(decodeFloats('Q4_0', toStored('Q4_0', output)))
})

test('a four-bit block whose scale is no number is named', async () => {
  const broken = stored('o_proj', output, 'Q4_0')
  // Block 2's scale: a half's infinity.
  broken.bytes.set([0x00, 0x7c], 2 * 18)
  await expect(write(layOut('int4'), { ...whole('Q4_0'), output: [broken] })).rejects.toMatchObject({
    name: 'ModelFormatError',
    params: { where: 'o_proj', what: 'the scale of block 2 is Infinity' },
  })
})

test('weights beyond float16’s range are refused by name instead of becoming infinite', async () => {
  const wide = output.slice()
  wide[7] = 70_000
  const tensors = { ...whole(), output: [stored('o_proj', wide)] }
  await expect(write(layOut('float16'), tensors)).rejects.toMatchObject({
    name: 'ModelUnsupportedError',
    message: 'o_proj has weights that float16 cannot hold: element 7 is 70000',
    params: { tensor: 'o_proj' },
  })
})

test('a file that ends within a matrix is an error, not zeros', async () => {
  const layout = layOut('int8')
  const path = join(folder, 'short')
  writeFileSync(path, new Uint8Array(100))
  await expect(readMatrix(path, layout, 'output')).rejects.toThrow(`${path} ends within output.codes`)
  await expect(readMatrix(path, layout, 'nothing')).rejects.toThrow('no matrix nothing')
})
