/**
 * A patch as a PEFT adapter folder: scales as (IA)³, factors as LoRA with alpha = r, so that the numbers in the file are those
 * of the patch. Modules are named one by one, so that PEFT makes an adapter for these and no other.
 */
import { InvalidInputError } from '#contracts/errors.ts'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import type { PatchContent, PatchFactors, PatchScale } from '#contracts/patch-file/patch.ts'
import { orderedHeads, reorderHeads } from '#core/models/head-order.ts'
import { fitToModel } from '#core/patches/fit-to-model.ts'
import type { WriteOptions, WrittenFiles } from '#core/ports/patch-interop.ts'
import { exportFolder } from './exports.ts'
import { adapterConfigFile } from './peft-config.ts'
import { adapterWeightsFile } from './peft-import.ts'
import { adapterNames, moduleOf, scaledModule } from './peft-names.ts'
import { type TensorPlan, writeSafetensors } from './safetensors-writer.ts'

export interface AdapterBase {
  readonly name: string
  readonly config: ModelConfig
}

interface AdapterTensor extends TensorPlan {
  readonly values: Float32Array
}

/** See `PatchInterop.writeAdapter`. */
export async function writePeftAdapter(
  content: PatchContent,
  base: AdapterBase,
  options: WriteOptions,
): Promise<WrittenFiles> {
  expectAdapter(content)
  fitToModel(content, base.config)
  const isIa3 = content.scales.length > 0
  const tensors = isIa3
    ? content.scales.map((scale) => scaleTensor(scale, base.config))
    : content.factors.flatMap((factors) => factorTensors(factors, base.config))
  const config = isIa3 ? ia3Config(content.scales, base) : loraConfig(content.factors, base)
  return await exportFolder(options, async (folder) => {
    await folder.write(adapterWeightsFile, (handle) => writeSafetensors(handle, tensors, bytesOf))
    await folder.writeText(adapterConfigFile, `${JSON.stringify(config, null, 2)}\n`)
  })
}

function expectAdapter({ deltas, scales, factors }: PatchContent): void {
  const what =
    deltas.length > 0
      ? 'PEFT has no form for sparse changes of any tensor; export the patched model, or a sparse update'
      : scales.length > 0 && factors.length > 0
        ? 'one PEFT adapter holds either scales or factors'
        : null
  if (what !== null) throw new InvalidInputError('format', what)
}

async function* bytesOf({ values }: AdapterTensor): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

function scaleTensor({ block, target, values }: PatchScale, config: ModelConfig): AdapterTensor {
  const shape = target === 'feedForward' ? [1, values.length] : [values.length, 1]
  const ordered = target === 'key' ? inHalves(values, tensorNames.block(block).key, config) : values
  return { name: adapterNames.scale(block, target), dtype: 'F32', shape, values: ordered }
}

function factorTensors({ tensor, shape: [out, into], rank, left, right }: PatchFactors, config: ModelConfig) {
  const module = moduleOf(tensor)
  const ordered = inHalves(left, tensor, config)
  return [
    { name: adapterNames.right(module), dtype: 'F32', shape: [rank, into], values: right },
    { name: adapterNames.left(module), dtype: 'F32', shape: [out, rank], values: ordered },
  ] as const satisfies AdapterTensor[]
}

/** Rows as Hugging Face orders them. */
function inHalves(rows: Float32Array, tensor: string, config: ModelConfig): Float32Array {
  const heads = config.ropeStyle === 'interleaved' ? orderedHeads(tensor, config) : 0
  return heads === 0 ? rows : reorderHeads(rows, { heads, headSize: config.headSize }, 'half')
}

function ia3Config(scales: readonly PatchScale[], base: AdapterBase): unknown {
  const modules = (chosen: readonly PatchScale[]) => chosen.map(({ block, target }) => scaledModule(block, target))
  return {
    ...commonConfig('IA3', base),
    target_modules: modules(scales),
    feedforward_modules: modules(scales.filter(({ target }) => target === 'feedForward')),
    init_ia3_weights: true,
  }
}

/** Ranks may differ between modules: those that are not the first's are named. */
function loraConfig(factors: readonly PatchFactors[], base: AdapterBase): unknown {
  const rank = factors[0]?.rank ?? 1
  const others = factors.filter((factor) => factor.rank !== rank)
  const pattern = Object.fromEntries(others.map((factor) => [moduleOf(factor.tensor), factor.rank]))
  return {
    ...commonConfig('LORA', base),
    r: rank,
    lora_alpha: rank,
    lora_dropout: 0,
    use_rslora: false,
    use_dora: false,
    bias: 'none',
    init_lora_weights: true,
    target_modules: factors.map(({ tensor }) => moduleOf(tensor)),
    rank_pattern: pattern,
    alpha_pattern: pattern,
  }
}

function commonConfig(kind: 'IA3' | 'LORA', base: AdapterBase) {
  return {
    peft_type: kind,
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base.name,
    revision: null,
    inference_mode: true,
    fan_in_fan_out: false,
    modules_to_save: null,
  }
}
