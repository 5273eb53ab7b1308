/**
 * Compute. An engine holds weights of some blocks and runs them; it knows nothing of peers or text. Hidden states cross
 * this port as float32, row-major (tokens, hiddenSize).
 */
import type { Span } from '#contracts/span.ts'
import type { ModelHandle } from './model-store.ts'

/** What makes two results comparable bit for bit or within a stated tolerance. */
export interface NumericsClass {
  readonly backend: string
  readonly dtype: 'float32'
  readonly kernelVersion: string
  readonly quantisation: 'none'
}

export interface LoadOptions {
  /** Threads the engine may use for one forward call; at least 1. */
  readonly threads: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly blocksLoaded: number; readonly blocksTotal: number }) => void
}

export interface Engine {
  readonly numericsClass: NumericsClass
  /** Loads the blocks of `span`, reading only their tensors. */
  loadSpan(model: ModelHandle, span: Span, options: LoadOptions): Promise<SpanRunner>
  /** Loads what a client keeps: embedding, final norm and head. */
  loadEnds(model: ModelHandle, options: LoadOptions): Promise<ModelEnds>
}

/** Blocks in memory, shared by many sessions. */
export interface SpanRunner {
  readonly span: Span
  /** Bytes held for weights, without KV caches. */
  readonly weightBytes: number
  /** Opens a KV cache over `span` (all of the runner's when left out), for at most `maxLength` positions. */
  openSession(init: { maxLength: number; span?: Span }): SpanSession
  /** Frees weights and any session still open. Idempotent. */
  dispose(): Promise<void>
}

/** One sequence's KV cache over a span, and the only way to run the blocks. Calls do not overlap. */
export interface SpanSession {
  readonly span: Span
  /** Positions in the cache so far. */
  readonly length: number
  readonly maxLength: number
  /** Bytes held by the KV cache now. */
  readonly cacheBytes: number
  /**
   * Appends `hidden` (tokens, hiddenSize) at positions [length, length + tokens) and returns the blocks' output of the
   * same shape. Throws `ContextTooLongError` past `maxLength`. When it throws, `length` is unchanged.
   */
  forward(hidden: Float32Array, options?: { signal?: AbortSignal }): Promise<Float32Array>
  /** Forgets positions from `length` on. Throws `RangeError` unless 0 <= length <= this.length. */
  truncate(length: number): void
  dispose(): void
}

/** The parts of a model that stay with whoever generates. */
export interface ModelEnds {
  readonly weightBytes: number
  /** (tokens,) ids to (tokens, hiddenSize). Throws `RangeError` for an id outside the vocabulary. */
  embed(tokens: readonly number[]): Float32Array
  /** (tokens, hiddenSize) to logits (tokens, vocabularySize), after the final norm. */
  logits(hidden: Float32Array, options?: { signal?: AbortSignal }): Promise<Float32Array>
  dispose(): Promise<void>
}
