import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { openPatchLibrary } from '#adapters/patch-store/open-patch-library.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'
import { complianceQuotaBytes, describePatchLibrary } from '#test/compliance/patch-library.ts'
import { createFakeClock } from '#test/fakes/clock.ts'

describePatchLibrary('the SQLite library', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'quiltbee-patches-'))
  const opened: PatchLibrary[] = []
  return {
    async open() {
      const library = await openPatchLibrary({
        file: join(folder, 'patches.db'),
        directory: join(folder, 'patches'),
        quotaBytes: complianceQuotaBytes,
        verifier: createSignatureVerifier(),
        clock: createFakeClock(),
      })
      opened.push(library)
      return library
    },
    async cleanUp() {
      for (const library of opened) await library.close()
      rmSync(folder, { recursive: true })
    },
  }
})
