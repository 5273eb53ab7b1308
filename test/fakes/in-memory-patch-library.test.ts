import { complianceQuotaBytes, describePatchLibrary } from '#test/compliance/patch-library.ts'
import { createFakeClock } from './clock.ts'
import { createInMemoryPatchLibrary } from './in-memory-patch-library.ts'

describePatchLibrary('the library in memory', async () => ({
  open: async () => createInMemoryPatchLibrary({ clock: createFakeClock() }, { quotaBytes: complianceQuotaBytes }),
  async cleanUp() {},
}))
