/**
 * The worker's side: a real engine, asked through a channel. Requests start in the order they come and may overlap; those
 * on one session wait for each other. A message that is not one of the protocol is an error of the program: it ends the
 * worker, and the client starts another.
 */
import type { Engine } from '#core/ports/engine.ts'
import type { TrainingEngine } from '#core/ports/training-engine.ts'
import { createArrayReader } from './array-reader.ts'
import type { Channel, Packet, WireArray } from './channel.ts'
import type { Handler, Handlers, NoticeHandlers, OpenModel, RequestContext } from './handler.ts'
import {
  type ComputeDescription,
  type FromWorker,
  type Notice,
  protocolVersion,
  type Request,
  type RequestKind,
  toWorkerSchema,
} from './protocol.ts'
import { createEndsHandlers } from './serve-ends.ts'
import { createSessionNotices, createSpanHandlers } from './serve-spans.ts'
import { createTrainingHandlers } from './serve-training.ts'
import { createServedParts } from './served-parts.ts'
import { createStayAwake } from './stay-awake.ts'
import { toWireError } from './wire-error.ts'

export interface ServeComponents {
  readonly channel: Channel
  readonly engine: Engine
  /** Null when this backend does not train. */
  readonly training: TrainingEngine | null
  readonly openModel: OpenModel
  /** Ends the process or thread. Called when the client has ended, or has asked for it and everything is freed. */
  readonly exit: () => void
}

export function serveCompute({ channel, engine, training, openModel, exit }: ServeComponents): void {
  const parts = createServedParts()
  const calls = new Map<number, AbortController>()
  const stayAwake = createStayAwake()
  const send = (head: FromWorker, arrays: readonly WireArray[] = []) => channel.send({ head, arrays })
  const handlerParts = {
    engine,
    training,
    openModel,
    parts,
    reportCache: (session: number, cacheBytes: number) => send({ kind: 'cache', session, cacheBytes }),
  }
  const handlers: Handlers<RequestKind> = {
    ...createSpanHandlers(handlerParts),
    ...createEndsHandlers(handlerParts),
    ...createTrainingHandlers(handlerParts),
    async 'dispose-part'({ part }) {
      await parts.dispose(part)
      return { answer: {} }
    },
    stats: () => ({ answer: { residentBytes: process.memoryUsage.rss(), ...parts.stats() } }),
    ping: () => ({ answer: {} }),
  }
  const notices: NoticeHandlers<Notice['kind']> = {
    ...createSessionNotices(handlerParts),
    cancel: ({ call }) => calls.get(call)?.abort(),
    end: () => void parts.disposeAll().finally(exit),
  }

  async function answer(call: number, request: Request, arrays: Packet['arrays']): Promise<void> {
    const controller = new AbortController()
    calls.set(call, controller)
    try {
      const reader = createArrayReader(arrays)
      const context: RequestContext = {
        arrays: reader,
        signal: controller.signal,
        onProgress: (progress) => send({ kind: 'progress', call, ...progress }),
      }
      const outcome = await handlerOf(handlers, request)(request, context)
      reader.end()
      send({ kind: 'answer', call, answer: outcome.answer }, outcome.arrays)
    } catch (error) {
      send({ kind: 'failed', call, error: toWireError(error) })
    } finally {
      calls.delete(call)
      stayAwake()
    }
  }

  channel.listen({
    onPacket({ head, arrays }) {
      const message = toWorkerSchema.parse(head)
      if ('notice' in message) noticeHandlerOf(notices, message.notice)(message.notice)
      else void answer(message.call, message.request, arrays)
    },
    onEnd: exit,
  })
  send({ kind: 'hello', protocol: protocolVersion, description: describe(engine, training) })
}

function describe(engine: Engine, training: TrainingEngine | null): ComputeDescription {
  const { backend, formats } = engine
  return { backend, numericsClasses: formats.map((format) => engine.numericsClass(format)), trains: training !== null }
}

// The compiler does not follow that a union's member and the handler found by its kind belong together.
function handlerOf(handlers: Handlers<RequestKind>, { kind }: Request): Handler<RequestKind> {
  return handlers[kind] as Handler<RequestKind>
}
function noticeHandlerOf(notices: NoticeHandlers<Notice['kind']>, { kind }: Notice): (notice: Notice) => void {
  return notices[kind] as (notice: Notice) => void
}
