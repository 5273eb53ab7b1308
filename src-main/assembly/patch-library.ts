import type { DataDirectory } from '#adapters/files/data-directory.ts'
import { createDataDirectory } from '#adapters/files/data-directory.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { openPatchLibrary } from '#adapters/patch-store/open-patch-library.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'

/** Of patches by others. A patch of a few megabytes is a large one. */
const quotaBytes = 2 * 1024 ** 3

/** The profile's patches, whether a node runs on it or not. */
export async function openLibrary(directory: DataDirectory, logger?: Logger): Promise<PatchLibrary> {
  createDataDirectory(directory)
  return await openPatchLibrary({
    file: directory.patchesFile,
    directory: directory.patches,
    quotaBytes,
    verifier: createSignatureVerifier(),
    clock: systemClock,
    onLost: (digest) => logger?.warn({ digest }, 'a patch is gone from its folder'),
  })
}
