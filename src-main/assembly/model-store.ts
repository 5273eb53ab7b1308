import { join, resolve } from 'node:path'
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import { createPatchInterop } from '#adapters/models/patch-interop.ts'
import { createModelStore } from '#adapters/models/store.ts'
import type { ModelStore } from '#core/ports/model-store.ts'
import type { PatchInterop } from '#core/ports/patch-interop.ts'

/** The model that ships with the app: the first start hosts it with nothing configured. */
export const embeddedModelName = 'seedling'

/** The models of this home, and those that ship with the app. */
export function openModelStore(directory: DataDirectory, resources = resourcesDirectory()): ModelStore {
  return createModelStore(placesOf(directory, resources))
}

/** Patches to and from files, with the same models. */
export function openPatchInterop(directory: DataDirectory, resources = resourcesDirectory()): PatchInterop {
  return createPatchInterop(placesOf(directory, resources))
}

function placesOf(directory: DataDirectory, resources: string) {
  return { directory: directory.models, readOnly: [join(resources, 'models', embeddedModelName)] }
}

/** `resources/` of the checkout; the Electron shell passes its own, which lies outside of the archive. */
function resourcesDirectory(): string {
  return resolve(import.meta.dirname, '../../resources')
}
