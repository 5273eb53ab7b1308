/** Embedding, final norm and head. */
import type { Engine } from '#core/ports/engine.ts'
import { type Handlers, type OpenModel, withModel } from './handler.ts'
import type { ServedParts } from './served-parts.ts'

export interface EndsHandlerParts {
  readonly engine: Engine
  readonly openModel: OpenModel
  readonly parts: ServedParts
}

export type EndsRequests = 'load-ends' | 'embed' | 'logits'

export function createEndsHandlers({ engine, openModel, parts }: EndsHandlerParts): Handlers<EndsRequests> {
  return {
    async 'load-ends'({ part, model, threads, format }, { signal, onProgress }) {
      const options = { threads, signal, onProgress, ...(format && { format }) }
      const { ends } = await parts.load(part, async () => ({
        kind: 'ends' as const,
        ends: await withModel(openModel, model, (handle) => engine.loadEnds(handle, options)),
      }))
      return { answer: { weightBytes: ends.weightBytes, numericsClass: ends.numericsClass } }
    },

    async embed({ part, tokens, patches }, { signal }) {
      const options = { signal, patches: parts.patches(patches) }
      return { answer: {}, arrays: [await parts.ends(part).embed(tokens, options)] }
    },

    async logits({ part, patches }, { arrays, signal }) {
      const options = { signal, patches: parts.patches(patches) }
      return { answer: {}, arrays: [await parts.ends(part).logits(arrays.floats(), options)] }
    },
  }
}
