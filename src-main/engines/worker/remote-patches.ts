/** Patches that a worker holds, as the port hands them out. */
import type { LoadedPatch, PatchWeights } from '#core/ports/engine.ts'
import { EngineMisuseError } from '../shared/misuse.ts'
import type { Connection } from './connection.ts'
import { packPatch } from './packing.ts'

export interface RemotePatches {
  load(patch: PatchWeights): Promise<LoadedPatch>
  /** Their ids, in the order given. Throws `EngineMisuseError` for a patch that is disposed or was not loaded here. */
  resolve(patches: readonly LoadedPatch[] | undefined): number[]
}

export function createRemotePatches(connection: Connection, part: number): RemotePatches {
  const ids = new WeakMap<LoadedPatch, number | 'disposed'>()
  return {
    async load(weights) {
      const id = connection.newId()
      const { arrays, content } = packPatch(weights)
      const { answer } = await connection.call({ kind: 'load-patch', part, patch: id, content }, { arrays })
      const patch: LoadedPatch = {
        weightBytes: answer.weightBytes,
        dispose() {
          if (ids.get(patch) === 'disposed') return
          ids.set(patch, 'disposed')
          connection.notify({ kind: 'drop-patch', patch: id })
        },
      }
      ids.set(patch, id)
      return patch
    },
    resolve(patches = []) {
      return patches.map((patch) => {
        const id = ids.get(patch)
        if (id === undefined) throw new EngineMisuseError('the patch is of another runner')
        if (id === 'disposed') throw new EngineMisuseError('the patch is disposed')
        return id
      })
    },
  }
}
