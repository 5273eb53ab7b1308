/**
 * A model in Hugging Face's folder layout: `config.json`, `model.safetensors`, `tokenizer.json`. Only what the engines
 * compute exactly is accepted; everything that would change the numbers (biases, scaled rotary positions, other
 * activations, quantised weights) is refused by name.
 */
import { basename, join, resolve } from 'node:path'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { openFile, readChunks, readSmallFile, statOrNull } from './files.ts'
import { parseHuggingFaceConfig } from './huggingface-config.ts'
import { type ModelSource, maximumTokenizerBytes, toModelName } from './model-source.ts'
import { readSafetensorsLayout, type SafetensorsEntry, type SafetensorsLayout } from './safetensors.ts'
import { createHuggingFaceTokenizer } from './tokenizer-huggingface.ts'

const maximumConfigBytes = 1 << 20
const weightsFile = 'model.safetensors'

/** Opens and checks a folder. Throws `ModelFormatError`, `ModelUnsupportedError` or `TokenizerFormatError`. */
export async function openHuggingFace(folder: string): Promise<ModelSource> {
  const { config, beginToken, endTokens } = parseHuggingFaceConfig(
    await readSmallFile(join(folder, 'config.json'), 'config.json', maximumConfigBytes),
  )
  const bytes = await readSmallFile(join(folder, 'tokenizer.json'), 'tokenizer.json', maximumTokenizerBytes)
  createHuggingFaceTokenizer(bytes, { vocabularySize: config.vocabularySize, beginToken, endTokens })
  const licence = await readLicence(folder)
  await refuseOtherWeights(folder)
  const file = await openFile(join(folder, weightsFile), weightsFile)
  try {
    const layout = await readSafetensorsLayout(file)
    const tensors = selectTensors(config, layout)
    return {
      config,
      tensors,
      licence,
      suggestedName: toModelName(basename(resolve(folder))),
      tokenizer: { kind: 'huggingface', beginToken, endTokens, bytes },
      read: (name, signal) => {
        const { begin, end } = entryOf(layout, name)
        return readChunks(file, begin, end, signal)
      },
      close: () => file.handle.close(),
    }
  } catch (error) {
    await file.handle.close()
    throw error
  }
}

/** Pure: the tensors that the config asks for, in file order. Extras are refused unless they repeat what is known. */
export function selectTensors(config: ModelConfig, layout: SafetensorsLayout): SafetensorsEntry[] {
  const expected = new Map(expectedTensors(config).map(({ name, shape }) => [name, shape]))
  for (const [name, shape] of expected) {
    const found = entryOf(layout, name)
    if (found.shape.join() !== shape.join()) {
      const where = `${weightsFile}: tensor ${name}`
      throw new ModelFormatError(where, `shape [${found.shape}], the config asks for [${shape}]`)
    }
  }
  const extra = [...layout.keys()].find((name) => !expected.has(name) && !isRedundant(name))
  if (extra !== undefined) throw new ModelUnsupportedError(`tensor ${extra.slice(0, 256)}`)
  return [...layout.values()].filter(({ name }) => expected.has(name))
}

/** Rotary frequencies follow from the config; a tied head is the embedding again. */
function isRedundant(name: string): boolean {
  return name.endsWith('rotary_emb.inv_freq') || name === 'lm_head.weight'
}

function entryOf(layout: SafetensorsLayout, name: string): SafetensorsEntry {
  const entry = layout.get(name)
  if (entry === undefined) throw new ModelFormatError(weightsFile, `tensor ${name} is missing`)
  return entry
}

/** The `license:` line of the model card's front matter, when there is one. */
async function readLicence(folder: string): Promise<string | null> {
  const path = join(folder, 'README.md')
  const found = await statOrNull(path)
  if (found === null || !found.isFile() || found.size > 1 << 20) return null
  const text = new TextDecoder().decode(await readSmallFile(path, 'README.md', 1 << 20))
  const frontMatter = /^---\r?\n([\s\S]*?)\r?\n---/.exec(text)?.[1]
  return (
    /^licen[cs]e:[ \t]*["']?([A-Za-z0-9][A-Za-z0-9 .+_-]{0,127})["']?[ \t]*\r?$/m.exec(frontMatter ?? '')?.[1] ?? null
  )
}

/** When the weights lie there in another form, say which rather than "missing". */
async function refuseOtherWeights(folder: string): Promise<void> {
  if ((await statOrNull(join(folder, weightsFile))) !== null) return
  if ((await statOrNull(join(folder, `${weightsFile}.index.json`))) !== null) {
    throw new ModelUnsupportedError('weights split into several safetensors files')
  }
  if ((await statOrNull(join(folder, 'pytorch_model.bin'))) !== null) {
    throw new ModelUnsupportedError('pickled PyTorch weights (pytorch_model.bin)')
  }
}
