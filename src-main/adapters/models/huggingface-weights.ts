/**
 * The weights of a Hugging Face folder: one `model.safetensors`, or several shards and an index that says which tensor is
 * in which. Every header is read and checked when the folder is opened; afterwards a file is open only while one of its
 * tensors is read, so that a model of many shards does not hold as many handles.
 */
import { join } from 'node:path'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { openFile, readChunks, readSmallFile, statOrNull, withFile } from './files.ts'
import { maximumTensors, readSafetensorsLayout, type SafetensorsEntry } from './safetensors.ts'
import {
  maximumIndexBytes,
  parseSafetensorsIndex,
  type SafetensorsIndex,
  safetensorsIndexFile,
  shardsOf,
} from './safetensors-index.ts'

const weightsFile = 'model.safetensors'

export interface ShardEntry extends SafetensorsEntry {
  /** Name of the file that holds the tensor. */
  readonly shard: string
}

/** By tensor name, in the order of the shards' names and of the bytes in each. */
export type WeightsLayout = ReadonlyMap<string, ShardEntry>

/** Where every tensor of the folder is. Throws `ModelFormatError`, naming the file, or `ModelUnsupportedError`. */
export async function readWeightsLayout(folder: string): Promise<WeightsLayout> {
  const isThere = async (name: string) => (await statOrNull(join(folder, name))) !== null
  if (await isThere(weightsFile)) return readShards(folder, [weightsFile])
  if (await isThere(safetensorsIndexFile)) return readIndexed(folder)
  if ((await isThere('pytorch_model.bin')) || (await isThere('pytorch_model.bin.index.json'))) {
    throw new ModelUnsupportedError('pickled PyTorch weights (pytorch_model.bin)')
  }
  throw new ModelFormatError(weightsFile, 'the file is missing')
}

/** One tensor's bytes; each chunk is only valid until the next is asked for. */
export async function* readShardTensor(
  folder: string,
  { shard, begin, end }: ShardEntry,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const file = await openFile(join(folder, shard), shard)
  try {
    yield* readChunks(file, begin, end, signal)
  } finally {
    await file.handle.close()
  }
}

async function readIndexed(folder: string): Promise<WeightsLayout> {
  const bytes = await readSmallFile(join(folder, safetensorsIndexFile), safetensorsIndexFile, maximumIndexBytes)
  const index = parseSafetensorsIndex(bytes)
  const layout = await readShards(folder, shardsOf(index))
  expectIndexed(index, layout)
  return layout
}

async function readShards(folder: string, shards: readonly string[]): Promise<WeightsLayout> {
  const layout = new Map<string, ShardEntry>()
  for (const shard of shards) {
    const entries = await withFile(join(folder, shard), shard, readSafetensorsLayout)
    for (const entry of entries.values()) addEntry(layout, { ...entry, shard })
  }
  return layout
}

function addEntry(layout: Map<string, ShardEntry>, entry: ShardEntry): void {
  const other = layout.get(entry.name)
  const where = `${entry.shard}: tensor ${entry.name.slice(0, 256)}`
  if (other !== undefined) throw new ModelFormatError(where, `is in ${other.shard} too`)
  if (layout.size === maximumTensors) throw new ModelFormatError(where, `one more than the ${maximumTensors} read`)
  layout.set(entry.name, entry)
}

/** Pure. Each tensor of the index is in the shard that the index names. */
function expectIndexed(index: SafetensorsIndex, layout: WeightsLayout): void {
  for (const [name, shard] of index) {
    const found = layout.get(name)?.shard
    if (found === shard) continue
    const what = found === undefined ? 'the index promises it, the file does not have it' : `is in ${found} instead`
    throw new ModelFormatError(`${shard}: tensor ${name}`, what)
  }
}
