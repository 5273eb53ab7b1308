/**
 * A model's ends, with the head in a worker. Looking up an embedding is asked for without waiting, so the table is held on
 * this side, as the file stores it, and so are the changes that patches make to it.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { ModelEnds, NumericsClass } from '#core/ports/engine.ts'
import type { EmbeddingTable } from '../shared/embedding-table.ts'
import { EngineMisuseError } from '../shared/misuse.ts'
import { splitPatch, type TensorDelta } from '../shared/patch-split.ts'
import { countRows } from '../shared/rows.ts'
import type { Connection } from './connection.ts'
import { expectFloats } from './expect-floats.ts'
import { createRemotePatches } from './remote-patches.ts'

export interface RemoteEndsInit {
  readonly part: number
  readonly config: ModelConfig
  readonly embedding: EmbeddingTable
  readonly numericsClass: NumericsClass
  /** Of the worker. */
  readonly weightBytes: number
}

export function createRemoteEnds(connection: Connection, init: RemoteEndsInit): ModelEnds {
  const { part, config, embedding } = init
  const patches = createRemotePatches<readonly TensorDelta[]>(connection, part)
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
    embed(tokens, options = {}) {
      checkUsable()
      return embedding.rows(
        tokens,
        patches.resolve(options.patches).flatMap(({ kept }) => kept),
      )
    },
    async logits(hidden, options = {}) {
      checkUsable()
      const rows = countRows(hidden, config.hiddenSize)
      const used = patches.resolve(options.patches).map(({ id }) => id)
      const { arrays } = await connection.call(
        { kind: 'logits', part, patches: used },
        { arrays: [hidden], signal: options.signal },
      )
      return expectFloats(connection, arrays, rows * config.vocabularySize)
    },
    async loadPatch(patch) {
      checkUsable()
      const { embedding: delta } = splitPatch(patch, config).ends
      const keptBytes = delta ? delta.indices.byteLength + delta.values.byteLength : 0
      return patches.load(patch, delta ? [delta] : [], keptBytes)
    },
    dispose() {
      disposal ??= disposeAll()
      return disposal
    },
  }
}
