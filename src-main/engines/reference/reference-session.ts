/** One sequence: its own weights (the base, or the base with patches) and a cache for each of its blocks. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { Span } from '#contracts/span.ts'
import type { BlockWeights } from '#core/numerics/block.ts'
import { createKeyValueCache, type KeyValueCache } from '#core/numerics/key-value-cache.ts'
import type { ForwardStep, SpanSession } from '#core/ports/engine.ts'
import { checkIdle, checkImport, checkPrefix, checkUsable, type SessionState } from '../shared/check-session.ts'
import { cacheBytes, copyPrefix, keyValueWidth, packCaches, unpackCaches } from './reference-cache.ts'

/** A session as its runner sees it; `caches` may hold more than `length` positions, what is beyond does not count. */
export interface ReferenceState extends SessionState {
  length: number
  busy: boolean
  disposed: boolean
  /** Of block `span.start` and those after it. */
  readonly weights: readonly BlockWeights[]
  caches: KeyValueCache[]
}

export function createState(span: Span, maxLength: number, weights: readonly BlockWeights[]): ReferenceState {
  const caches = weights.map(createKeyValueCache)
  return { span, maxLength, weights, caches, length: 0, busy: false, disposed: false }
}

/** What a session asks of its runner. */
export interface SessionOwner {
  readonly config: ModelConfig
  forward(steps: readonly ForwardStep[], options: { signal?: AbortSignal }): Promise<readonly Float32Array[]>
  adopt(state: ReferenceState): SpanSession
  release(state: ReferenceState): void
}

export function createReferenceSession(state: ReferenceState, owner: SessionOwner): SpanSession {
  const width = keyValueWidth(owner.config)

  function keepPrefix(length: number): void {
    state.caches = state.caches.map((cache) => copyPrefix(cache, length, width))
    state.length = length
  }

  const session: SpanSession = {
    span: state.span,
    maxLength: state.maxLength,
    get length() {
      return state.length
    },
    get cacheBytes() {
      return cacheBytes(state.caches)
    },
    async forward(hidden, options = {}) {
      const [output] = await owner.forward([{ session, hidden }], options)
      return output as Float32Array
    },
    truncate(length) {
      checkIdle(state)
      checkPrefix(state, length)
      keepPrefix(length)
    },
    fork(length = state.length) {
      checkIdle(state)
      checkPrefix(state, length)
      const caches = state.caches.map((cache) => copyPrefix(cache, length, width))
      return owner.adopt({ ...state, caches, length })
    },
    async exportCache() {
      checkIdle(state)
      return packCaches(state.caches, state.length, width)
    },
    async importCache(cache) {
      checkIdle(state)
      const length = checkImport(state, cache, owner.config)
      state.caches = unpackCaches(cache, state.weights.length, width)
      state.length = length
    },
    dispose() {
      if (state.disposed) return
      state.disposed = true
      state.caches = []
      owner.release(state)
    },
  }
  return session
}

/** Throws `EngineMisuseError` when the session ended while it was being run. */
export function cacheOf(state: ReferenceState, block: number): KeyValueCache {
  checkUsable(state)
  return state.caches[block] as KeyValueCache
}
