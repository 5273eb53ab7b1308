/**
 * The `ModelHub` port on a Hugging Face hub. The hub's own library asks its questions; bytes are fetched here, as the
 * library neither resumes nor checks them.
 */
import { mkdir, statfs } from 'node:fs/promises'
import { HUB_URL } from '@huggingface/hub'
import { InvalidInputError } from '#contracts/errors.ts'
import { StorageError } from '#core/errors.ts'
import type { DownloadOptions, HubFile, HubModel, ModelHub } from '#core/ports/model-hub.ts'
import { namingStorage } from '#core/storage-errors.ts'
import { type Connection, createConnection } from './connection.ts'
import { describeModel } from './describe.ts'
import { downloadFile, type FilePlace, placeFile } from './download-file.ts'
import { fetchTensors } from './fetch-tensors.ts'
import { filePathSchema } from './hub-schemas.ts'
import { type Pause, type RetryPolicy, realPause, usualRetries } from './retry.ts'

export interface HuggingFaceHubInit {
  /** The library's own default when left out. */
  readonly hubUrl?: string
  /** For models that are not public. */
  readonly accessToken?: string
  readonly idleTimeoutMs?: number
  readonly retries?: RetryPolicy
  readonly pause?: Pause
  /** Bytes free for a directory, null when unknown; the file system's word when left out. */
  readonly freeBytes?: (directory: string) => Promise<number | null>
}

const usualIdleTimeoutMs = 30_000

/** Throws `InvalidInputError` for an address or token that is none. Nothing is asked before the first call. */
export function createHuggingFaceHub(init: HuggingFaceHubInit = {}): ModelHub {
  const connection = createConnection({
    hubUrl: init.hubUrl ?? HUB_URL,
    accessToken: init.accessToken,
    idleTimeoutMs: init.idleTimeoutMs ?? usualIdleTimeoutMs,
    retries: init.retries ?? usualRetries,
    pause: init.pause ?? realPause,
  })
  const freeBytes = init.freeBytes ?? freeDiskBytes
  return {
    describe: (repository, options = {}) => describeModel(connection, repository, options),
    async download(model, options) {
      const files = chooseFiles(model, options.files)
      await namingStorage(options.directory, () => mkdir(options.directory, { recursive: true, mode: 0o700 }))
      const places = await Promise.all(files.map((file) => placeFile(options.directory, file)))
      await expectRoom(places, options, freeBytes)
      await downloadAll(connection, model, places, options)
    },
    fetchTensors: (model, options) => fetchTensors(connection, model, options),
  }
}

/** Pure. Throws `InvalidInputError` for a path the model does not have, or two that are one on a case-blind disk. */
function chooseFiles(model: HubModel, paths: readonly string[]): HubFile[] {
  const byPath = new Map(model.files.map((file) => [file.path, file]))
  const folded = new Set(paths.map((path) => path.toLowerCase()))
  if (folded.size < paths.length) throw new InvalidInputError('files', 'two of the names are the same')
  return paths.map((path) => {
    const file = byPath.get(path)
    if (file !== undefined && filePathSchema.safeParse(path).success) return file
    throw new InvalidInputError('files', `${model.repository} has no file ${path.slice(0, 256)}`)
  })
}

/** Before the first byte: a disk that is full at the end of a long night helps nobody. */
async function expectRoom(
  places: readonly FilePlace[],
  { directory, reserveBytes = 0 }: DownloadOptions,
  freeBytes: (directory: string) => Promise<number | null>,
): Promise<void> {
  const missing = places.reduce((total, { file, presentBytes }) => total + file.sizeBytes - presentBytes, 0)
  const needed = missing + reserveBytes
  const free = await freeBytes(directory)
  if (free === null || free >= needed) return
  throw new StorageError(directory, `no space left on the disk: ${needed} bytes needed, ${free} free`)
}

async function downloadAll(
  connection: Connection,
  model: HubModel,
  places: readonly FilePlace[],
  { signal, onProgress }: DownloadOptions,
): Promise<void> {
  const bytesTotal = places.reduce((total, { file }) => total + file.sizeBytes, 0)
  const done = new Map(places.map((place) => [place, place.presentBytes]))
  for (const place of places) {
    const onBytes = (bytes: number) => {
      done.set(place, bytes)
      onProgress?.({ bytesDone: [...done.values()].reduce((total, count) => total + count, 0), bytesTotal })
    }
    await downloadFile(connection, model, place, { signal, onBytes })
  }
}

/** Bytes an ordinary user may still write; null where the file system does not say. */
async function freeDiskBytes(directory: string): Promise<number | null> {
  const { bavail, bsize, blocks } = await statfs(directory)
  return blocks === 0 ? null : bavail * bsize
}
