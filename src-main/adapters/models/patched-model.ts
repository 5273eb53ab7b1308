/**
 * A whole model with patches in its weights, in Hugging Face's folder layout, one tensor in memory at a time. Tensors that a
 * patch changes are float32, so that nothing is rounded; the others keep their type, unless it is one of GGUF's that
 * safetensors has no name for.
 */
import { join } from 'node:path'
import type { ModelManifest, TensorEntry } from '#contracts/model/manifest.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { orderedHeads, reorderHeads } from '#core/models/head-order.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import { fitToModel } from '#core/patches/fit-to-model.ts'
import { type PatchedTensors, patchTensors } from '#core/patches/patch-tensors.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import type { WriteOptions, WrittenFiles } from '#core/ports/patch-interop.ts'
import { exportFolder } from './exports.ts'
import { readSmallFile, writeAll } from './files.ts'
import { huggingFaceConfig } from './huggingface-writer.ts'
import { maximumTokenizerBytes, tokenizerFileNames } from './model-source.ts'
import { type TensorPlan, tensorBytes, writeSafetensors } from './safetensors-writer.ts'
import { weightsFileName } from './stored-model.ts'

/** `folder`: where the model lies, for its vocabulary file. See `PatchInterop.writePatchedModel`. */
export async function writePatchedModel(
  model: ModelHandle,
  folder: string,
  patches: readonly PatchContent[],
  options: WriteOptions,
): Promise<WrittenFiles & { readonly importable: boolean }> {
  const { manifest } = model
  for (const patch of patches) fitToModel(patch, manifest.config)
  const patched = patchTensors(patches, manifest.config)
  const { kind } = manifest.tokenizer
  const vocabularyFile = tokenizerFileNames[kind]
  const vocabulary = await readSmallFile(join(folder, vocabularyFile), vocabularyFile, maximumTokenizerBytes)
  const written = await exportFolder(options, async (target) => {
    const plans = manifest.tensors.map((entry) => planTensor(entry, manifest, patched))
    const read = createTensorReader(model, patched, plans, options)
    await target.write(weightsFileName, (handle) => writeSafetensors(handle, plans, read))
    await target.write(vocabularyFile, (handle) => writeAll(handle, vocabulary))
    await target.writeText('config.json', `${JSON.stringify(huggingFaceConfig(manifest), null, 2)}\n`)
    await target.writeText('README.md', modelCard(manifest, patches.length))
  })
  return { ...written, importable: kind === 'huggingface' }
}

function planTensor({ name, dtype, shape }: TensorEntry, manifest: ModelManifest, patched: PatchedTensors): TensorPlan {
  const isKept =
    !patched.changes(name) && reorderedHeads(name, manifest) === 0 && ['F32', 'F16', 'BF16'].includes(dtype)
  return { name, dtype: isKept ? dtype : 'F32', shape }
}

/** Heads whose rows other programs expect in another order. */
function reorderedHeads(name: string, { config }: ModelManifest): number {
  return config.ropeStyle === 'interleaved' ? orderedHeads(name, config) : 0
}

function createTensorReader(
  model: ModelHandle,
  patched: PatchedTensors,
  plans: readonly TensorPlan[],
  { signal, onProgress }: WriteOptions,
): (plan: TensorPlan) => AsyncIterable<Uint8Array> {
  const bytesTotal = plans.reduce((sum, plan) => sum + tensorBytes(plan), 0)
  let bytesDone = 0
  return async function* read(plan) {
    const stored = await model.readTensor(plan.name, signal === undefined ? {} : { signal })
    yield plan.dtype === stored.dtype && !patched.changes(plan.name) && reorderedHeads(plan.name, model.manifest) === 0
      ? stored.bytes
      : changedBytes(decodeFloats(stored.dtype, stored.bytes), plan, model.manifest, patched)
    bytesDone += tensorBytes(plan)
    onProgress?.({ bytesDone, bytesTotal })
  }
}

function changedBytes(
  values: Float32Array,
  { name, shape }: TensorPlan,
  manifest: ModelManifest,
  patched: PatchedTensors,
): Uint8Array {
  patched.apply(name, shape, values)
  const heads = reorderedHeads(name, manifest)
  const ordered = heads === 0 ? values : reorderHeads(values, { heads, headSize: manifest.config.headSize }, 'half')
  return new Uint8Array(ordered.buffer, ordered.byteOffset, ordered.byteLength)
}

/** What `model import` reads the licence from, and a person where the folder comes from. */
function modelCard({ name, digest, licence }: ModelManifest, patches: number): string {
  const frontMatter = licence === null ? '' : `---\nlicense: ${licence}\n---\n\n`
  const made = `Made of ${name} (SHA-256 ${digest}) and ${patches === 1 ? 'a patch' : `${patches} patches`} by Quiltbee.`
  return `${frontMatter}# ${name}, patched\n\n${made} Changed tensors are float32.\n`
}
