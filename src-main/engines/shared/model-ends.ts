/**
 * The client's parts, the same for every backend but for the product with the head: rows of the embedding, the final norm,
 * and patches on all three.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { rmsNorm } from '#core/numerics/rms-norm.ts'
import { addEntries, addSparseLinear } from '#core/numerics/sparse.ts'
import type { LoadedPatch, ModelEnds, NumericsClass } from '#core/ports/engine.ts'
import type { EmbeddingTable } from './embedding-table.ts'
import type { HeadProduct } from './linear-backend.ts'
import { EngineMisuseError } from './misuse.ts'
import { createPatchRegistry } from './patch-registry.ts'
import { type EndsPatch, endsPatchBytes, splitPatch } from './patch-split.ts'
import { countRows } from './rows.ts'

/** Rows that go through the head between two looks at the abort signal: the weights' reading is still well shared. */
const rowsPerRun = 64

export interface EndsParts {
  readonly config: ModelConfig
  readonly numericsClass: NumericsClass
  readonly embedding: EmbeddingTable
  readonly finalNorm: Float32Array // (hidden,)
  readonly head: HeadProduct
}

/** Owns the head: disposing frees it, after calls under way have ended. */
export function createModelEnds({ config, numericsClass, embedding, finalNorm, head }: EndsParts): ModelEnds {
  const patches = createPatchRegistry<EndsPatch>()
  const running = new Set<Promise<Float32Array>>()
  let disposal: Promise<void> | null = null

  function checkUsable(): void {
    if (disposal) throw new EngineMisuseError('the model ends are disposed')
  }
  function resolve(wanted: readonly LoadedPatch[] | undefined): readonly EndsPatch[] {
    checkUsable()
    return patches.resolve(wanted)
  }

  async function runHead(hidden: Float32Array, applied: readonly EndsPatch[], signal: AbortSignal | undefined) {
    const { hiddenSize, vocabularySize } = config
    const rows = countRows(hidden, hiddenSize)
    const gain = deltasOf(applied, 'finalNorm').reduce<Float32Array | Float64Array>(addEntries, finalNorm)
    const logits = new Float32Array(rows * vocabularySize)
    for (let start = 0; start < rows; start += rowsPerRun) {
      signal?.throwIfAborted()
      const piece = hidden.subarray(start * hiddenSize, (start + rowsPerRun) * hiddenSize)
      const normed = Float32Array.from(rmsNorm(piece, gain, config.rmsNormEpsilon))
      logits.set(await head.run(normed), start * vocabularySize)
      const target = logits.subarray(start * vocabularySize, (start + rowsPerRun) * vocabularySize)
      for (const delta of deltasOf(applied, 'head')) {
        addSparseLinear(target, normed, delta, { inputSize: hiddenSize, outputSize: vocabularySize })
      }
    }
    signal?.throwIfAborted()
    return logits
  }

  async function disposeHead(): Promise<void> {
    await Promise.allSettled(running)
    await head.dispose()
  }

  return {
    numericsClass,
    weightBytes: embedding.weightBytes + finalNorm.byteLength + head.weightBytes,
    async embed(tokens, options = {}) {
      const deltas = deltasOf(resolve(options.patches), 'embedding')
      options.signal?.throwIfAborted()
      return embedding.rows(tokens, deltas)
    },
    async logits(hidden, options = {}) {
      const run = runHead(hidden, resolve(options.patches), options.signal)
      running.add(run)
      return run.finally(() => running.delete(run))
    },
    async loadPatch(patch) {
      checkUsable()
      const { ends } = splitPatch(patch, config)
      return patches.add(ends, endsPatchBytes(ends))
    },
    dispose() {
      disposal ??= disposeHead()
      return disposal
    },
  }
}

function deltasOf(patches: readonly EndsPatch[], role: keyof EndsPatch) {
  return patches.flatMap((patch) => patch[role] ?? [])
}
