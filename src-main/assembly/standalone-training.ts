/** Training from a terminal with no node running: the same runs, in the same profile, carried out in this process. */
import { createDataDirectory, type DataDirectory } from '#adapters/files/data-directory.ts'
import { openLogFile } from '#adapters/files/log-file.ts'
import { createSettingsStore } from '#adapters/files/settings-store.ts'
import { loadOrCreateIdentity } from '#adapters/keys/identity-file.ts'
import { acquireProfileLock } from '#adapters/sqlite/profile-lock.ts'
import type { TrainingDesk } from '#app/training-desk.ts'
import { defaultPolicy } from '#core/budget/default-policy.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'
import { assembleCompute } from './compute.ts'
import { embeddedModelName, openModelStore } from './model-store.ts'
import { openLibrary } from './patch-library.ts'
import { assembleTraining } from './training.ts'

export interface StandaloneTraining extends AsyncDisposable {
  readonly desk: TrainingDesk
  readonly library: PatchLibrary
}

/**
 * Holds the profile's lock: throws `profile-locked` when a node, or another training, has it. Runs that were under way
 * stay where they are until they are resumed by hand, or a node starts.
 */
export async function openStandaloneTraining(directory: DataDirectory): Promise<StandaloneTraining> {
  await using parts = new AsyncDisposableStack()
  createDataDirectory(directory)
  parts.adopt(acquireProfileLock(directory.lockFile, directory.profile), (held) => held.release())
  const logger = parts.adopt(openLogFile(directory.logFile, 'info'), (log) => log.close())
  const identity = await loadOrCreateIdentity(directory.profileDirectory)
  const settings = createSettingsStore({ file: directory.settingsFile, defaultPolicy })
  await settings.read()
  const library = parts.adopt(await openLibrary(directory, logger), (opened) => opened.close())
  const compute = parts.use(assembleCompute({ directory, logger }))
  const models = openModelStore(directory)
  const training = parts.use(
    assembleTraining({ directory, logger, identity, settings, models, library, compute, model: embeddedModelName }),
  )
  await training.sweep()
  const { desk } = training
  const owned = parts.move()
  return { desk, library, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
