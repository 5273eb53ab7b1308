/**
 * Patches as the port hands them out, and what an engine made of them. Whoever resolved a patch keeps what it got: a
 * patch may be disposed under a session, which goes on with it, and the memory goes with its last user.
 */
import type { LoadedPatch } from '#core/ports/engine.ts'
import { EngineMisuseError } from './misuse.ts'

export interface PatchRegistry<T> {
  add(content: T, weightBytes: number): LoadedPatch
  /** In the order given. Throws `EngineMisuseError` for a patch that is disposed or was not made here. */
  resolve(patches: readonly LoadedPatch[] | undefined): readonly T[]
}

export function createPatchRegistry<T>(): PatchRegistry<T> {
  const entries = new WeakMap<LoadedPatch, { content: T | undefined }>()
  return {
    add(content, weightBytes) {
      const entry: { content: T | undefined } = { content }
      const patch: LoadedPatch = {
        weightBytes,
        dispose() {
          entry.content = undefined
        },
      }
      entries.set(patch, entry)
      return patch
    },
    resolve(patches = []) {
      return patches.map((patch) => {
        const entry = entries.get(patch)
        if (entry === undefined) throw new EngineMisuseError('the patch is of another runner')
        if (entry.content === undefined) throw new EngineMisuseError('the patch is disposed')
        return entry.content
      })
    },
  }
}
