/** Models of tests where a worker finds them: a file each, named by digest, written anew whenever one is loaded. */
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { deserialize, serialize } from 'node:v8'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelNotFoundError } from '#core/errors.ts'
import type { ModelHandle, StoredTensor } from '#core/ports/model-store.ts'

interface Published {
  readonly manifest: ModelManifest
  readonly tensors: readonly StoredTensor[]
}

const fileOf = (directory: string, digest: string) => join(directory, `${digest}.model`)
const readsOf = (directory: string, digest: string) => join(directory, `${digest}.reads`)

export async function publishModel(directory: string, model: ModelHandle): Promise<void> {
  const { manifest } = model
  const tensors: StoredTensor[] = []
  for (const { name } of manifest.tensors) tensors.push(await model.readTensor(name))
  rmSync(readsOf(directory, manifest.digest), { force: true })
  writeFileSync(fileOf(directory, manifest.digest), serialize({ manifest, tensors } satisfies Published))
}

/** As a model store opens one. */
export async function openPublished(directory: string, digest: string): Promise<ModelHandle> {
  if (!existsSync(fileOf(directory, digest))) throw new ModelNotFoundError(digest)
  const { manifest, tensors } = deserialize(readFileSync(fileOf(directory, digest))) as Published
  return {
    manifest,
    async readTensor(name, { signal } = {}) {
      await setImmediate() // as reading a disk does
      signal?.throwIfAborted()
      const tensor = tensors.find((each) => each.name === name)
      if (tensor === undefined) throw new ModelFormatError(name, 'no such tensor')
      appendFileSync(readsOf(directory, digest), `${name}\n`)
      return tensor
    },
    tokenizer: () => Promise.reject(new Error('a worker has no use for text')),
    async close() {},
  }
}

/** The tensors that were read since the model was published, in order. */
export function readsSincePublished(directory: string, digest: string): string[] {
  const file = readsOf(directory, digest)
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
}
