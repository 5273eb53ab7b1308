/**
 * Sparse deltas in the form that git-theta keeps them in (Kandpal et al. 2023): each changed tensor, laid out as one row, is a
 * CSR matrix of four arrays, `<tensor>.data`, `.indices`, `.indptr` and `.shape` (the tensor's own), all in one safetensors
 * file. What is in `data` is added to the tensor.
 */
import { InvalidInputError } from '#contracts/errors.ts'
import type { PatchContent, PatchDelta } from '#contracts/patch-file/patch.ts'
import type { WriteOptions, WrittenFiles } from '#core/ports/patch-interop.ts'
import { exportFile } from './exports.ts'
import { type WrittenTensor, writeSafetensors } from './safetensors-writer.ts'

interface SparseArray extends WrittenTensor {
  readonly values: Float32Array | Int32Array | BigInt64Array
}

/** See `PatchInterop.writeSparseUpdate`. */
export async function writeSparseUpdate(content: PatchContent, options: WriteOptions): Promise<WrittenFiles> {
  const { deltas, scales, factors } = content
  if (deltas.length === 0 || scales.length > 0 || factors.length > 0) {
    throw new InvalidInputError('format', 'a sparse update holds sparse changes only; this patch has others')
  }
  const arrays = deltas.flatMap(arraysOf)
  return await exportFile(options, (handle) => writeSafetensors(handle, arrays, bytesOf))
}

function arraysOf({ tensor, shape, indices, values }: PatchDelta): SparseArray[] {
  const size = shape.reduce((product, extent) => product * extent, 1)
  const bounds = [0, indices.length]
  const array = (name: string, integers: ArrayLike<number>): SparseArray => ({
    name: `${tensor}.${name}`,
    ...(size < 2 ** 31 ? short(integers) : long(integers)),
    shape: [integers.length],
  })
  return [
    { name: `${tensor}.data`, dtype: 'F32', shape: [values.length], values },
    array('indices', indices),
    array('indptr', bounds),
    { name: `${tensor}.shape`, ...long(shape), shape: [shape.length] },
  ]
}

function short(integers: ArrayLike<number>) {
  return { dtype: 'I32', values: Int32Array.from(integers) } as const
}

function long(integers: ArrayLike<number>) {
  return { dtype: 'I64', values: BigInt64Array.from(Array.from(integers, BigInt)) } as const
}

async function* bytesOf({ values }: SparseArray): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
