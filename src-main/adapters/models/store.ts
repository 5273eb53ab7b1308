/**
 * The `ModelStore` port on disk. `directory` holds one folder a model, named by its digest and nothing else: no name
 * from a file ever becomes a path. Models that ship with the app are opened where they lie.
 *
 * Names are unique. Importing a model that is here already changes nothing, except that a name asked for replaces the
 * old one, and that damaged files, another vocabulary or another licence are replaced by those imported.
 */
import { join } from 'node:path'
import { InvalidInputError } from '#contracts/errors.ts'
import { type ModelManifest, modelManifestSchema } from '#contracts/model/manifest.ts'
import type { ModelStore } from '#core/ports/model-store.ts'
import type { ReadOptions } from './describe-model.ts'
import { toStorageError } from './files.ts'
import {
  checkFreeSpace,
  freeDiskBytes,
  prepareDirectory,
  publishModel,
  replaceManifest,
  stageModel,
} from './import-model.ts'
import { looksLikeDigest, type ModelSource } from './model-source.ts'
import { openModelSource } from './open-source.ts'
import {
  chooseModel,
  createEmbeddedModels,
  type OnDamaged,
  type PlacedModel,
  readStoredModels,
} from './placed-models.ts'
import { sweepStaging, withStagingFolder } from './staging.ts'
import { openStoredModel } from './stored-model.ts'

export interface ModelStoreInit {
  /** Made on first import. */
  readonly directory: string
  /** Hugging Face folders that ship with the app, or folders of such folders. Never written to. */
  readonly readOnly?: readonly string[]
  /** Told, once for each fault, of a model left out because its files are damaged: a digest, or an embedded model's folder. */
  readonly onDamaged?: OnDamaged
  /** Bytes free for a directory, null when unknown; the file system's word when left out. */
  readonly freeBytes?: (directory: string) => Promise<number | null>
}

export function createModelStore(init: ModelStoreInit): ModelStore {
  const { directory, freeBytes = freeDiskBytes } = init
  const onDamaged = tellOnce(init.onDamaged ?? (() => {}))
  const embedded = createEmbeddedModels(init.readOnly ?? [], onDamaged)
  const oneAtATime = createQueue()

  /** All sound models by name; one in `directory` hides an embedded one of the same digest. */
  async function findAll(): Promise<PlacedModel[]> {
    const stored = await readStoredModels(directory, onDamaged)
    const digests = new Set(stored.map(({ manifest }) => manifest.digest))
    const others = (await embedded.list()).filter(({ manifest }) => !digests.has(manifest.digest))
    return [...stored, ...others].sort((a, b) => (a.manifest.name < b.manifest.name ? -1 : 1))
  }

  async function importSource(source: ModelSource, wanted: string | undefined, options: ReadOptions) {
    const name = checkedName(wanted ?? source.suggestedName)
    await prepareDirectory(directory)
    await sweepStaging(directory)
    await checkFreeSpace(directory, source, freeBytes)
    return withStagingFolder(directory, async (staged) => {
      const manifest = await stageModel(staged, source, name, options)
      return oneAtATime(async () => {
        options.signal?.throwIfAborted()
        return settle(staged, manifest, wanted)
      })
    })
  }

  async function settle(staged: string, manifest: ModelManifest, wanted: string | undefined): Promise<ModelManifest> {
    const models = await findAll()
    const present = models.find((model) => model.manifest.digest === manifest.digest)
    const isSound = present !== undefined && (await isIntact(present))
    const { kind, manifest: decided } = decideImport(models, manifest, wanted, isSound)
    const isOurs = present?.folder === join(directory, manifest.digest)
    if (kind === 'place' || (kind === 'rename' && !isOurs)) await publishModel(directory, staged, decided)
    else if (kind === 'rename') await replaceManifest(directory, decided)
    return decided
  }

  return {
    async list() {
      return (await findAll()).map(({ manifest }) => manifest)
    },
    async open(nameOrDigest) {
      const { folder, manifest } = chooseModel(await findAll(), nameOrDigest)
      return openStoredModel(folder, manifest)
    },
    async import(path, { name, ...options } = {}) {
      const source = await openModelSource(path)
      try {
        return await importSource(source, name, options)
      } catch (error) {
        throw toStorageError(error)
      } finally {
        await source.close()
      }
    },
  }
}

type ImportDecision = { readonly kind: 'keep' | 'rename' | 'place'; readonly manifest: ModelManifest }

/** Pure: what to do with a staged model among those that are here. Throws `InvalidInputError` when its name is taken. */
export function decideImport(
  models: readonly PlacedModel[],
  staged: ModelManifest,
  wanted: string | undefined,
  presentIsIntact: boolean,
): ImportDecision {
  const present = models.find(({ manifest }) => manifest.digest === staged.digest)?.manifest
  const name = wanted ?? present?.name ?? staged.name
  const taken = models.some(({ manifest }) => manifest.name === name && manifest.digest !== staged.digest)
  if (taken) throw new InvalidInputError('name', `another model is called ${name}; choose a name for this one`)
  const manifest = { ...staged, name }
  if (present === undefined || !presentIsIntact || !isSameBesidesName(present, staged))
    return { kind: 'place', manifest }
  return present.name === name ? { kind: 'keep', manifest: present } : { kind: 'rename', manifest }
}

/** Two manifests of one digest agree on config and tensors already. */
function isSameBesidesName(a: ModelManifest, b: ModelManifest): boolean {
  const [one, other] = [a.tokenizer, b.tokenizer]
  const sameTokens = one.beginToken === other.beginToken && one.endTokens.join() === other.endTokens.join()
  return one.sha256 === other.sha256 && sameTokens && a.licence === b.licence
}

/** Whether everything that the manifest promises can still be read. */
async function isIntact({ folder, manifest }: PlacedModel): Promise<boolean> {
  try {
    const model = await openStoredModel(folder, manifest)
    try {
      for (const { name } of manifest.tensors) await model.readTensor(name)
      await model.tokenizer()
      return true
    } finally {
      await model.close()
    }
  } catch {
    return false
  }
}

function checkedName(name: string): string {
  const parsed = modelManifestSchema.shape.name.safeParse(name)
  if (!parsed.success) throw new InvalidInputError('name', parsed.error.issues[0]?.message ?? 'not a name')
  if (looksLikeDigest(name)) throw new InvalidInputError('name', 'looks like a digest; choose another')
  return name
}

/** Passes on what it has not passed on before: the same damage is found at every listing. */
function tellOnce(tell: OnDamaged): OnDamaged {
  const told = new Set<string>()
  return (model, error) => {
    const key = `${model}: ${error instanceof Error ? error.message : 'unknown'}`
    if (told.has(key)) return
    told.add(key)
    tell(model, error)
  }
}

/** Runs tasks one after the other; a task that fails does not hold up the next. */
function createQueue(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (task) => {
    const result = last.then(task, task)
    last = result.catch(() => {})
    return result
  }
}
