/** The `PatchInterop` port, on the file formats of models. */
import type { PatchInterop } from '#core/ports/patch-interop.ts'
import { exportFile } from './exports.ts'
import { writeAll } from './files.ts'
import { kindOf, openPatchFile } from './patch-files.ts'
import { writePatchedModel } from './patched-model.ts'
import { writePeftAdapter } from './peft-export.ts'
import { readPeftAdapter } from './peft-import.ts'
import { findModel } from './placed-models.ts'
import { writeSparseUpdate } from './sparse-update.ts'

/** The places of `createModelStore`: vocabulary files are copied from where a model lies. */
export function createPatchInterop(init: {
  readonly directory: string
  readonly readOnly?: readonly string[]
}): PatchInterop {
  return {
    kindOf,
    openPatchFile,
    writePatchFile: (pieces, options) =>
      exportFile(options, async (handle) => {
        for await (const piece of pieces) await writeAll(handle, piece)
      }),
    readAdapter: readPeftAdapter,
    writeAdapter: writePeftAdapter,
    async writePatchedModel(model, patches, options) {
      const { folder } = await findModel(init, model.manifest.digest)
      return await writePatchedModel(model, folder, patches, options)
    },
    writeSparseUpdate,
  }
}
