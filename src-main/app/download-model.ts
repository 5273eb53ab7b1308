/** From a name at a hub to a model in the store: look, choose, fetch, import. What is fetched can be gone on with. */
import { join } from 'node:path'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import type { HubModel, ModelHub } from '#core/ports/model-hub.ts'
import type { ModelStore } from '#core/ports/model-store.ts'
import { type ChosenFiles, chooseModelFiles } from './choose-model-files.ts'

export interface PlannedDownload extends ChosenFiles {
  readonly model: HubModel
}

export interface DownloadRequest {
  /** `owner/name`. */
  readonly repository: string
  readonly revision?: string
  /** One GGUF file among several. */
  readonly file?: string
  readonly signal?: AbortSignal
}

/** Asks the hub what there is, and decides what of it to fetch. Nothing large has been fetched when this resolves. */
export async function planDownload(
  hub: ModelHub,
  { repository, revision, file, signal }: DownloadRequest,
): Promise<PlannedDownload> {
  const model = await hub.describe(repository, {
    ...(revision === undefined ? {} : { revision }),
    ...(signal === undefined ? {} : { signal }),
  })
  return { model, ...chooseModelFiles(model, file) }
}

export interface DownloadComponents {
  readonly hub: ModelHub
  readonly models: ModelStore
  /** Where downloads are kept until they are imported. */
  readonly downloads: string
  readonly removeFolder: (path: string) => Promise<void>
}

export interface DownloadModelOptions {
  readonly name?: string
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: {
    readonly phase: 'download' | 'import'
    readonly bytesDone: number
    readonly bytesTotal: number
  }) => void
}

/**
 * Fetches what is planned and imports it. The folder of the download is removed when the store has the model; when this
 * throws, it stays, and the same call goes on from there.
 */
export async function downloadModel(
  { hub, models, downloads, removeFolder }: DownloadComponents,
  { model, files, bytesTotal, imported }: PlannedDownload,
  { name, signal, onProgress }: DownloadModelOptions = {},
): Promise<ModelManifest> {
  const directory = join(downloads, ...model.repository.split('/'))
  const withSignal = signal === undefined ? {} : { signal }
  await hub.download(model, {
    directory,
    files: files.map(({ path }) => path),
    // The store makes its own copy, and this one goes only then.
    reserveBytes: bytesTotal,
    ...withSignal,
    onProgress: (progress) => onProgress?.({ phase: 'download', ...progress }),
  })
  const manifest = await models.import(imported.kind === 'file' ? join(directory, imported.path) : directory, {
    ...(name === undefined ? {} : { name }),
    ...withSignal,
    onProgress: (progress) => onProgress?.({ phase: 'import', ...progress }),
  })
  await removeFolder(directory)
  return manifest
}
