/**
 * The smallest thing that behaves like a language model: every block mixes each position with all before it, so a wrong,
 * missing or repeated position anywhere changes every token after it. Each position is computed on its own, so results
 * are equal to the bit however they were cut into steps.
 */
import type { ForwardStep, ModelEnds, SpanRunner, SpanSession } from '#core/ports/engine.ts'
import type { Tokenizer } from '#core/ports/model-store.ts'

export const toyConfig = { hiddenSize: 4, blockCount: 5, contextLength: 64 } as const
const { hiddenSize } = toyConfig

/** Tokens: 0 begins, 1 ends, the rest are characters. */
const characters = 'abcdefghijklmnopqrstuvwxyz .,!?'
const vocabularySize = characters.length + 2

/** What the toy lacks: no caller of it asks for these. */
const lacking = {
  backward: () => Promise.reject(new Error('the toy has no backward')),
  loadPatch: () => Promise.reject(new Error('the toy takes no patches')),
}
const lackingInSessions = {
  fork(): never {
    throw new Error('the toy cannot fork')
  },
  exportCache: () => Promise.reject(new Error('the toy has no cache')),
  importCache: () => Promise.reject(new Error('the toy has no cache')),
}

const numericsClass = {
  backend: 'toy',
  kernelVersion: '1',
  weights: 'float32',
  weightGroup: null,
  activations: 'float32',
} as const

/** A batch is its sessions, one after the other. */
export async function forwardOneByOne(steps: readonly ForwardStep[], options: { signal?: AbortSignal } = {}) {
  const outputs: Float32Array[] = []
  for (const { session, hidden } of steps) outputs.push(await session.forward(hidden, options))
  return outputs
}

export function createToyRunner(span: { readonly start: number; readonly end: number }) {
  const open = new Set<SpanSession>()
  let forwards = 0
  const runner: SpanRunner = {
    ...lacking,
    span,
    numericsClass,
    weightBytes: 0,
    forward: forwardOneByOne,
    openSession(init) {
      const session = createToySession(init.span ?? span, init.maxLength, () => {
        forwards += 1
      })
      const dispose = () => {
        open.delete(session)
      }
      session.dispose = dispose
      open.add(session)
      return session
    },
    async dispose() {
      open.clear()
    },
  }
  return {
    ...runner,
    get openSessions() {
      return open.size
    },
    get forwards() {
      return forwards
    },
  }
}
export type ToyRunner = ReturnType<typeof createToyRunner>

function createToySession(
  span: { readonly start: number; readonly end: number },
  maxLength: number,
  onForward: () => void,
): SpanSession {
  /** For each position, one state (hiddenSize,) a block. */
  const states: Float32Array[][] = []

  function blockStep(block: number, input: Float32Array): Float32Array {
    const before = states.at(-2)?.[block - span.start]
    const state = input.map((value, i) => Math.tanh(0.7 * (before?.[i] ?? 0) + value + 0.1 * (block + 1)))
    states.at(-1)?.push(state)
    return input.map((value, i) => 0.5 * value + (state[(i + 1) % hiddenSize] ?? 0))
  }

  return {
    span,
    maxLength,
    get length() {
      return states.length
    },
    get cacheBytes() {
      return states.length * (span.end - span.start) * hiddenSize * 4
    },
    async forward(hidden, options) {
      onForward()
      options?.signal?.throwIfAborted()
      const output = new Float32Array(hidden.length)
      for (let at = 0; at < hidden.length; at += hiddenSize) {
        states.push([])
        let row: Float32Array = hidden.slice(at, at + hiddenSize)
        for (let block = span.start; block < span.end; block++) row = blockStep(block, row)
        output.set(row, at)
      }
      await Promise.resolve()
      return output
    },
    truncate(length) {
      if (length < 0 || length > states.length) throw new RangeError(`length ${length}`)
      states.length = length
    },
    dispose() {},
    ...lackingInSessions,
  }
}

function embedding(token: number): number[] {
  return Array.from({ length: hiddenSize }, (_, i) => Math.sin((token + 1) * (i + 1.7) * 1.3))
}

export const toyEnds: ModelEnds = {
  numericsClass,
  loadPatch: lacking.loadPatch,
  weightBytes: 0,
  embed: async (tokens) => Float32Array.from(tokens.flatMap(embedding)),
  async logits(hidden) {
    const logits = new Float32Array((hidden.length / hiddenSize) * vocabularySize)
    for (let i = 0; i < logits.length; i++) {
      const at = Math.floor(i / vocabularySize) * hiddenSize
      const row = embedding(i % vocabularySize)
      // The sine keeps the text lively: small differences in hidden states become large ones.
      logits[i] = 3 * Math.sin(9 * row.reduce((sum, value, d) => sum + value * (hidden[at + d] ?? 0), 0))
    }
    return logits
  },
  async dispose() {},
}

export const toyTokenizer: Tokenizer = {
  vocabularySize,
  beginToken: 0,
  endTokens: [1],
  encode: (text) => [...text].map((character) => characters.indexOf(character) + 2),
  decode: (tokens) => tokens.map((token) => characters[token - 2] ?? '').join(''),
  decodeStream: () => ({ push: (token) => characters[token - 2] ?? '', end: () => '' }),
}
