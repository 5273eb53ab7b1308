/** Which of a published model's files are wanted here: what an import reads, and nothing else. */
import { InvalidInputError } from '#contracts/errors.ts'
import { type Architecture, architectures } from '#contracts/model/manifest.ts'
import { ModelUnsupportedError } from '#core/errors.ts'
import type { HubFile, HubModel } from '#core/ports/model-hub.ts'

export interface ChosenFiles {
  /** Small ones first: what is wrong with a model shows in them. */
  readonly files: readonly HubFile[]
  readonly bytesTotal: number
  /** What to import, in the folder the files are put in: a file's path, or the folder itself. */
  readonly imported: { readonly kind: 'folder' } | { readonly kind: 'file'; readonly path: string }
}

/** A model card is read for its licence; a larger one is no card. */
const maximumCardBytes = 1 << 20

const helpful = ['generation_config.json', 'tokenizer_config.json']
const shard = /^model-\d{5}-of-\d{5}\.safetensors$/

/**
 * Pure. `wanted` names one GGUF file; left out, it is the safetensors weights with what belongs to them, or the one GGUF
 * file there is. Throws `InvalidInputError` when there is a choice to make, `ModelUnsupportedError` when there is nothing.
 */
export function chooseModelFiles(model: HubModel, wanted: string | undefined): ChosenFiles {
  if (wanted !== undefined) return oneGguf(model, wanted)
  const weights = model.files.filter(({ path }) => path === 'model.safetensors' || shard.test(path))
  if (weights.length > 0) return safetensorsFolder(model, weights)
  const [gguf, another] = model.files.filter(isGguf)
  if (gguf === undefined) throw new ModelUnsupportedError('a model with neither safetensors nor GGUF files')
  if (another === undefined) return oneGguf(model, gguf.path)
  throw new InvalidInputError(
    '--file',
    `${model.repository} has several; choose one of ${names(model.files.filter(isGguf))}`,
  )
}

function oneGguf(model: HubModel, path: string): ChosenFiles {
  const file = model.files.find((candidate) => candidate.path === path)
  if (file !== undefined && isGguf(file)) return finish([file], { kind: 'file', path })
  const there = model.files.filter(isGguf)
  const what = there.length === 0 ? 'it has no GGUF files' : `its GGUF files are ${names(there)}`
  throw new InvalidInputError('--file', `${model.repository} has no GGUF file ${path.slice(0, 256)}; ${what}`)
}

function safetensorsFolder(model: HubModel, weights: readonly HubFile[]): ChosenFiles {
  const type = model.config?.modelType ?? null
  if (type !== null && !architectures.includes(type as Architecture))
    throw new ModelUnsupportedError(`model type ${type}`)
  // Some publish both forms; the single file is the whole model.
  const single = weights.filter(({ path }) => path === 'model.safetensors')
  const others = single.length > 0 ? [] : [required(model, 'model.safetensors.index.json')]
  const small = [required(model, 'config.json'), required(model, 'tokenizer.json'), ...others]
  const extras = model.files.filter(
    ({ path, sizeBytes }) => helpful.includes(path) || (path === 'README.md' && sizeBytes <= maximumCardBytes),
  )
  return finish([...small, ...extras, ...(single.length > 0 ? single : weights)], { kind: 'folder' })
}

function required(model: HubModel, path: string): HubFile {
  const file = model.files.find((candidate) => candidate.path === path)
  if (file === undefined) throw new ModelUnsupportedError(`safetensors files with no ${path}`)
  return file
}

function finish(files: readonly HubFile[], imported: ChosenFiles['imported']): ChosenFiles {
  return { files, imported, bytesTotal: files.reduce((total, { sizeBytes }) => total + sizeBytes, 0) }
}

function isGguf({ path }: HubFile): boolean {
  return path.toLowerCase().endsWith('.gguf')
}

function names(files: readonly HubFile[]): string {
  const shown = files.slice(0, 20).map(({ path }) => path)
  return [...shown, ...(files.length > shown.length ? ['…'] : [])].join(', ')
}
