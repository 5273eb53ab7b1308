/** What a hub tells about a model before anything large is fetched. */
import { listFiles, modelInfo } from '@huggingface/hub'
import type * as z from 'zod'
import { CodedError } from '#contracts/errors.ts'
import { DownloadError } from '#core/errors.ts'
import type { HubFile, HubModel } from '#core/ports/model-hub.ts'
import type { Connection } from './connection.ts'
import {
  checkedRepository,
  checkedRevision,
  configFileSchema,
  fileEntrySchema,
  maximumFiles,
  modelInfoSchema,
} from './hub-schemas.ts'
import { createLibraryFetch } from './library-fetch.ts'
import { checkedAnswer, parseJson, readSmallFile } from './small-files.ts'

const maximumConfigBytes = 1 << 20

export async function describeModel(
  connection: Connection,
  name: string,
  options: { readonly revision?: string; readonly signal?: AbortSignal },
): Promise<HubModel> {
  const { hubUrl } = connection
  const repository = checkedRepository(name)
  const wanted = options.revision === undefined ? {} : { revision: checkedRevision(options.revision) }
  const fetch = createLibraryFetch(connection, repository, options.signal)
  return naming(repository, options.signal, async () => {
    const info = await modelInfo({ name: repository, ...wanted, additionalFields: ['sha', 'cardData'], hubUrl, fetch })
    const { sha: revision, cardData } = checkedAnswer(repository, modelInfoSchema, info)
    const files: HubFile[] = []
    let listed = 0
    for await (const entry of listFiles({ repo: repository, recursive: true, revision, hubUrl, fetch })) {
      if (++listed > maximumFiles) throw new DownloadError(repository, `more than ${maximumFiles} files`)
      const file = toHubFile(entry)
      if (file !== null) files.push(file)
    }
    const described = { repository, revision, files, licence: licenceOf(cardData), config: null }
    return { ...described, config: await readConfig(connection, described, options.signal) }
  })
}

/** Pure: null for folders, and for files with names that are not used for models (spaces, other alphabets). */
function toHubFile(entry: unknown): HubFile | null {
  const parsed = fileEntrySchema.safeParse(entry).data
  if (parsed === undefined) return null
  const { path, lfs } = parsed
  if (lfs !== undefined) return { path, sizeBytes: lfs.size, digest: { kind: 'sha256', hex: lfs.oid } }
  return { path, sizeBytes: parsed.size, digest: { kind: 'git-blob-sha1', hex: parsed.oid } }
}

function licenceOf(card: z.infer<typeof modelInfoSchema>['cardData']): string | null {
  const { license, license_name: ownName } = card ?? {}
  const known = Array.isArray(license) ? license.join(', ') : license
  return (known === 'other' ? (ownName ?? known) : known)?.slice(0, 128) ?? null
}

async function readConfig(
  connection: Connection,
  model: HubModel,
  signal: AbortSignal | undefined,
): Promise<HubModel['config']> {
  const file = model.files.find(({ path }) => path === 'config.json')
  if (file === undefined) return null
  const bytes = await readSmallFile(connection, model, file, maximumConfigBytes, { signal, failsWhenUnreachable: true })
  const config = checkedAnswer(file.path, configFileSchema, parseJson(file.path, bytes))
  return { modelType: config.model_type ?? null, blockCount: config.num_hidden_layers ?? null }
}

/** The library takes answers as they come: what it trips over is an answer that is none. */
async function naming<T>(where: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof CodedError) throw error
    throw new DownloadError(where, 'the hub’s answer is not as expected', { cause: error })
  }
}
