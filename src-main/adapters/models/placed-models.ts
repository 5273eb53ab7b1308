/** Which sound models there are and where each lies: those imported, and those that ship with the app. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import { ModelNotFoundError } from '#core/errors.ts'
import { describeModel } from './describe-model.ts'
import { statOrNull, systemCode } from './files.ts'
import { openHuggingFace } from './huggingface.ts'
import { readManifest } from './stored-model.ts'

export interface PlacedModel {
  readonly manifest: ModelManifest
  readonly folder: string
}

/** Told of a folder that should hold a model and does not. */
export type OnDamaged = (model: string, error: unknown) => void

/** The models imported into `directory`. */
export async function readStoredModels(directory: string, onDamaged: OnDamaged): Promise<PlacedModel[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  })
  const digests = names.map((name) => digestSchema.safeParse(name).data).filter((digest) => digest !== undefined)
  const models = digests.map((digest) => {
    const folder = join(directory, digest)
    return readOrReport(digest, onDamaged, async () => ({ folder, manifest: await readManifest(folder, digest) }))
  })
  return (await Promise.all(models)).filter((model) => model !== null)
}

export interface EmbeddedModels {
  list(): Promise<PlacedModel[]>
}

/** Each of `paths` is a Hugging Face folder or a folder of such. A model is hashed the first time it is listed. */
export function createEmbeddedModels(paths: readonly string[], onDamaged: OnDamaged): EmbeddedModels {
  const known = new Map<string, Promise<PlacedModel | null>>()
  const describe = (folder: string) => {
    const model = known.get(folder) ?? readOrReport(folder, onDamaged, () => describeFolder(folder))
    known.set(folder, model)
    return model
  }
  return {
    async list() {
      const folders = (await Promise.all(paths.map(findFolders))).flat()
      return (await Promise.all(folders.map(describe))).filter((model) => model !== null)
    },
  }
}

/** Where the model of that digest lies: imported, or shipped with the app. Throws `ModelNotFoundError`. */
export async function findModel(
  { directory, readOnly = [] }: { readonly directory: string; readonly readOnly?: readonly string[] },
  digest: Digest,
): Promise<PlacedModel> {
  const stored = await readStoredModels(directory, () => {})
  const models = stored.some(({ manifest }) => manifest.digest === digest)
    ? stored
    : await createEmbeddedModels(readOnly, () => {}).list()
  return chooseModel(models, digest)
}

/** Pure. By whole digest, then by name, then by a prefix of at least 8 characters. */
export function chooseModel(models: readonly PlacedModel[], nameOrDigest: string): PlacedModel {
  const exact =
    models.find(({ manifest }) => manifest.digest === nameOrDigest) ??
    models.find(({ manifest }) => manifest.name === nameOrDigest)
  if (exact !== undefined) return exact
  const isPrefix = /^[0-9a-f]{8,63}$/.test(nameOrDigest)
  const [model, another] = isPrefix ? models.filter(({ manifest }) => manifest.digest.startsWith(nameOrDigest)) : []
  if (model === undefined) throw new ModelNotFoundError(nameOrDigest.slice(0, 128))
  if (another !== undefined) throw new InvalidInputError('model', `several digests begin with ${nameOrDigest}`)
  return model
}

async function describeFolder(folder: string): Promise<PlacedModel> {
  const source = await openHuggingFace(folder)
  try {
    return { folder, manifest: await describeModel(source) }
  } finally {
    await source.close()
  }
}

async function findFolders(path: string): Promise<string[]> {
  if (await isModelFolder(path)) return [path]
  const names = await readdir(path).catch(() => [])
  const folders = names.sort().map((name) => join(path, name))
  const isModel = await Promise.all(folders.map(isModelFolder))
  return folders.filter((_, index) => isModel[index] === true)
}

async function isModelFolder(path: string): Promise<boolean> {
  return (await statOrNull(join(path, 'config.json'))) !== null
}

async function readOrReport<T>(model: string, onDamaged: OnDamaged, read: () => Promise<T>): Promise<T | null> {
  try {
    return await read()
  } catch (error) {
    onDamaged(model, error)
    return null
  }
}
