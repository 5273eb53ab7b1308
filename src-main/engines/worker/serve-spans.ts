/** Blocks, sessions over them, and patches on them. */
import type { Engine, SpanSession } from '#core/ports/engine.ts'
import { type Handlers, type NoticeHandlers, type OpenModel, withModel } from './handler.ts'
import { unpackParameters, unpackPatch } from './packing.ts'
import type { ServedParts } from './served-parts.ts'
import { inLine } from './served-session.ts'

export interface SpanHandlerParts {
  readonly engine: Engine
  readonly openModel: OpenModel
  readonly parts: ServedParts
  /** Tells the client what a session's cache holds now. */
  readonly reportCache: (session: number, cacheBytes: number) => void
}

export function createSpanHandlers({
  engine,
  openModel,
  parts,
}: SpanHandlerParts): Handlers<'load-span' | 'load-patch' | 'forward' | 'export-cache' | 'import-cache' | 'backward'> {
  return {
    async 'load-span'({ part, model, span, threads, format }, { signal, onProgress }) {
      const options = { threads, signal, onProgress, ...(format && { format }) }
      const { runner } = await parts.load(part, async () => ({
        kind: 'runner' as const,
        runner: await withModel(openModel, model, (handle) => engine.loadSpan(handle, span, options)),
      }))
      return { answer: { weightBytes: runner.weightBytes, numericsClass: runner.numericsClass } }
    },

    async 'load-patch'({ part, patch: id, content }, { arrays }) {
      const patch = await parts.patchable(part).loadPatch(unpackPatch(content, arrays))
      parts.keepPatch(part, id, patch)
      return { answer: { weightBytes: patch.weightBytes } }
    },

    async forward({ part, steps }, { arrays, signal }) {
      const runner = parts.runner(part)
      const hidden = steps.map(() => arrays.floats())
      return inLine(steps.map(parts.placed), async (sessions) => {
        const outputs = await runner.forward(
          sessions.map((session, i) => ({ session, hidden: hidden[i] as Float32Array })),
          { signal },
        )
        return { answer: { cacheBytes: sessions.map(({ cacheBytes }) => cacheBytes) }, arrays: outputs }
      })
    },

    'export-cache': (at) =>
      inLine([parts.placed(at)], async ([session]) => ({
        answer: {},
        arrays: [await (session as SpanSession).exportCache()],
      })),

    'import-cache'(at, { arrays }) {
      const cache = arrays.floats()
      return inLine([parts.placed(at)], async (sessions) => {
        const session = sessions[0] as SpanSession
        await session.importCache(cache)
        return { answer: { length: session.length, cacheBytes: session.cacheBytes } }
      })
    },

    async backward({ part, span, after, patches, parameters }, { arrays, signal }) {
      const runner = parts.runner(part)
      const request = {
        hidden: arrays.floats(),
        outputGradient: arrays.floats(),
        patches: parts.patches(patches),
        parameters: unpackParameters(parameters, arrays),
        ...(span && { span }),
      }
      return inLine(after ? [parts.placed(after)] : [], async ([session]) => {
        const result = await runner.backward({ ...request, ...(session && { after: session }) }, { signal })
        return { answer: {}, arrays: [result.inputGradient, ...result.parameterGradients] }
      })
    },
  }
}

export function createSessionNotices({
  parts,
  reportCache,
}: SpanHandlerParts): NoticeHandlers<
  'open-session' | 'fork-session' | 'truncate-session' | 'close-session' | 'drop-patch'
> {
  /** What fails here fails the next request about the session: it is unknown then, or shorter than its client counts. */
  const report = (id: number, session: Promise<SpanSession>) =>
    void session.then(
      ({ cacheBytes }) => reportCache(id, cacheBytes),
      () => {},
    )
  return {
    'open-session'({ part, session, maxLength, span, patches }) {
      parts.openSession(part, session, () =>
        parts.runner(part).openSession({ maxLength, span, patches: parts.patches(patches) }),
      )
    },
    'fork-session'({ session, from, length }) {
      const { part } = parts.session(from.session)
      const forked = inLine([parts.placed(from)], ([parent]) => (parent as SpanSession).fork(length))
      report(session, parts.openSession(part, session, () => forked).opened)
    },
    'truncate-session'(at) {
      report(
        at.session,
        inLine([parts.placed(at)], ([session]) => session as SpanSession),
      )
    },
    'close-session': ({ session }) => parts.closeSession(session),
    'drop-patch': ({ patch }) => parts.dropPatch(patch),
  }
}
