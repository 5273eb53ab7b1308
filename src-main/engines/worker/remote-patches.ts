/** Patches that a worker holds, as the port hands them out. */
import type { LoadedPatch, PatchWeights } from '#core/ports/engine.ts'
import { EngineMisuseError } from '../shared/misuse.ts'
import type { Connection } from './connection.ts'
import { packPatch } from './packing.ts'

/** `T` is what the client keeps of a patch for itself. */
export interface RemotePatches<T> {
  load(patch: PatchWeights, kept: T, keptBytes: number): Promise<LoadedPatch>
  /** In the order given. Throws `EngineMisuseError` for a patch that is disposed or was not loaded here. */
  resolve(patches: readonly LoadedPatch[] | undefined): readonly RemotePatch<T>[]
}
export interface RemotePatch<T> {
  readonly id: number
  readonly kept: T
}

export function createRemotePatches<T>(connection: Connection, part: number): RemotePatches<T> {
  const entries = new WeakMap<LoadedPatch, RemotePatch<T> | 'disposed'>()
  return {
    async load(weights, kept, keptBytes) {
      const id = connection.newId()
      const { arrays, ...packed } = packPatch(weights)
      const { answer } = await connection.call({ kind: 'load-patch', part, patch: id, ...packed }, { arrays })
      const patch: LoadedPatch = {
        weightBytes: answer.weightBytes + keptBytes,
        dispose() {
          if (entries.get(patch) === 'disposed') return
          entries.set(patch, 'disposed')
          connection.notify({ kind: 'drop-patch', patch: id })
        },
      }
      entries.set(patch, { id, kept })
      return patch
    },
    resolve(patches = []) {
      return patches.map((patch) => {
        const entry = entries.get(patch)
        if (entry === undefined) throw new EngineMisuseError('the patch is of another runner')
        if (entry === 'disposed') throw new EngineMisuseError('the patch is disposed')
        return entry
      })
    },
  }
}
