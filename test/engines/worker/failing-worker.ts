/** A worker for tests that goes wrong when a hidden state's first number says how; else it gives back what it gets. */
import { setImmediate } from 'node:timers/promises'
import type { Engine, SpanRunner, SpanSession } from '#core/ports/engine.ts'
import { openParentChannel } from '#engines/worker/parent-channel.ts'
import { serveCompute } from '#engines/worker/serve-compute.ts'
import { openPublished } from './published-models.ts'
import { wrongs } from './wrongs.ts'

const [directory = ''] = process.argv.slice(2)
const channel = openParentChannel()
const numericsClass = {
  backend: 'failing',
  kernelVersion: '1',
  weights: 'float32',
  weightGroup: null,
  activations: 'float32',
} as const

const nextForward = Promise.withResolvers<void>()

async function goWrong(first: number | undefined): Promise<void> {
  switch (first) {
    case wrongs.throws:
      queueMicrotask(() => {
        throw new Error('a bug outside of any call')
      })
      return new Promise(() => {})
    case wrongs.saysNonsense:
      channel.send({ head: { kind: 'answer', call: 'one' }, arrays: [] })
      return new Promise(() => {})
    case wrongs.answersWhatWasNotAsked:
      channel.send({ head: { kind: 'answer', call: 1_000_000, answer: {} }, arrays: [] })
      return new Promise(() => {})
    case wrongs.hangsAfterNext:
      await nextForward.promise
      await setImmediate() // by now it has been answered
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
      return
    case wrongs.hangs:
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
      return
    case wrongs.computesFor300Ms:
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
      return
    case wrongs.exits:
      process.exit(7)
      break
    default:
      nextForward.resolve()
  }
}

function openSession({ maxLength }: { readonly maxLength: number }, span: SpanSession['span']): SpanSession {
  let length = 0
  const session: SpanSession = {
    span,
    maxLength,
    get length() {
      return length
    },
    get cacheBytes() {
      return length * 1024
    },
    async forward(hidden) {
      await goWrong(hidden[0])
      length += hidden.length / 32
      return hidden[0] === wrongs.answersTooLittle ? hidden.slice(1) : hidden.slice()
    },
    truncate(to) {
      length = to
    },
    fork: () => openSession({ maxLength }, span),
    exportCache: async () => new Float32Array(length * 2 * 3 * 32),
    async importCache() {},
    dispose() {},
  }
  return session
}

const engine: Engine = {
  backend: 'failing',
  formats: ['float32'],
  numericsClass: () => numericsClass,
  async loadSpan(_, span): Promise<SpanRunner> {
    return {
      span,
      numericsClass,
      weightBytes: 4096,
      openSession: (init) => openSession(init, span),
      forward: (steps) => Promise.all(steps.map(({ session, hidden }) => session.forward(hidden))),
      backward: () => Promise.reject(new Error('only forward')),
      loadPatch: async () => ({ weightBytes: 512, dispose() {} }),
      async dispose() {},
    }
  },
  loadEnds: () => Promise.reject(new Error('only blocks')),
}

serveCompute({
  channel,
  engine,
  training: null,
  openModel: (digest) => openPublished(directory, digest),
  exit: () => process.exit(0),
})
