/** What commands on patches need, whether a node runs or not. Nothing is opened, or made, before it is asked for. */
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import { createDataDirectory } from '#adapters/files/data-directory.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { loadOrCreateIdentity } from '#adapters/keys/identity-file.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import type { PatchFileComponents } from '#app/patch-files.ts'
import type { ConvertComponents } from '#app/patch-transfer.ts'
import type { ModelStore } from '#core/ports/model-store.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'
import { openModelStore, openPatchInterop } from './model-store.ts'

export interface OpenPatchFiles extends AsyncDisposable, PatchFileComponents {
  readonly models: ModelStore
  /** With the profile's key, which is made if there is none. */
  convert(): Promise<ConvertComponents>
}

export function openPatchFiles(directory: DataDirectory): OpenPatchFiles {
  const interop = openPatchInterop(directory)
  const models = openModelStore(directory)
  let library: Promise<PatchLibrary> | null = null
  return {
    interop,
    models,
    verifier: createSignatureVerifier(),
    library() {
      library ??= import('./patch-library.ts').then(({ openLibrary }) => openLibrary(directory))
      return library
    },
    async convert() {
      createDataDirectory(directory)
      const identity = await loadOrCreateIdentity(directory.profileDirectory)
      return { interop, models, identity, clock: systemClock, authorName: '' }
    },
    async [Symbol.asyncDispose]() {
      await library?.then((opened) => opened.close())
    },
  }
}
