/** The `ModelEnds` port, with embedding, final norm and head in a worker. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { ModelEnds, NumericsClass } from '#core/ports/engine.ts'
import { EngineMisuseError } from '../shared/misuse.ts'
import { countRows } from '../shared/rows.ts'
import type { Connection } from './connection.ts'
import { expectFloats } from './expect-arrays.ts'
import { createRemotePatches } from './remote-patches.ts'

export interface RemoteEndsInit {
  readonly part: number
  readonly config: ModelConfig
  readonly numericsClass: NumericsClass
  readonly weightBytes: number
}

export function createRemoteEnds(connection: Connection, init: RemoteEndsInit): ModelEnds {
  const { part, config } = init
  const patches = createRemotePatches(connection, part)
  let disposal: Promise<void> | null = null

  function checkUsable(): void {
    if (disposal) throw new EngineMisuseError('the model ends are disposed')
    if (connection.failure) throw connection.failure
  }

  async function disposeAll(): Promise<void> {
    if (connection.failure) return
    await connection.call({ kind: 'dispose-part', part }).catch((error: unknown) => {
      // With the worker everything in it is gone, which is what was wanted.
      if (!connection.failure) throw error
    })
  }

  return {
    numericsClass: init.numericsClass,
    weightBytes: init.weightBytes,
    async embed(tokens, options = {}) {
      checkUsable()
      const used = patches.resolve(options.patches)
      const { arrays } = await connection.call(
        { kind: 'embed', part, tokens: [...tokens], patches: used },
        { signal: options.signal },
      )
      return expectFloats(connection, arrays, tokens.length * config.hiddenSize)
    },
    async logits(hidden, options = {}) {
      checkUsable()
      const rows = countRows(hidden, config.hiddenSize)
      const used = patches.resolve(options.patches)
      const { arrays } = await connection.call(
        { kind: 'logits', part, patches: used },
        { arrays: [hidden], signal: options.signal },
      )
      return expectFloats(connection, arrays, rows * config.vocabularySize)
    },
    async loadPatch(patch) {
      checkUsable()
      return patches.load(patch)
    },
    dispose() {
      disposal ??= disposeAll()
      return disposal
    },
  }
}
