/**
 * Compute. An engine holds weights of some blocks and runs them, forward and backward; it knows nothing of peers or text.
 * Hidden states cross this port as float32, row-major (tokens, hiddenSize).
 */
import type { ScaleTarget } from '#contracts/patch-file/patch.ts'
import type { Span } from '#contracts/span.ts'
import type { ModelHandle } from './model-store.ts'

/** How weights are held in memory. Integers are group-wise: a scale for every few weights of a row. */
export const weightFormats = ['float32', 'float16', 'int8', 'int4'] as const
export type WeightFormat = (typeof weightFormats)[number]

/** What makes two results comparable bit for bit or within a stated tolerance. */
export interface NumericsClass {
  readonly backend: string
  readonly kernelVersion: string
  readonly weights: WeightFormat
  /** Weights that share a scale; null for floats. */
  readonly weightGroup: number | null
  /** What activations are rounded to before a matrix product; sums are at least float32. */
  readonly activations: 'float32' | 'int8'
}

export interface LoadOptions {
  /** Threads the engine may use for one forward call; at least 1. */
  readonly threads: number
  /** float32 when left out. Throws `RangeError` for one that is not among the engine's `formats`. */
  readonly format?: WeightFormat
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly blocksLoaded: number; readonly blocksTotal: number }) => void
}

export interface Engine {
  /** `onnxruntime-cpu`, `tfjs-wasm` …: names the backend in numerics classes, settings and calibrations. */
  readonly backend: string
  readonly formats: readonly WeightFormat[]
  numericsClass(format: WeightFormat): NumericsClass
  /** Loads the blocks of `span`, reading only their tensors. */
  loadSpan(model: ModelHandle, span: Span, options: LoadOptions): Promise<SpanRunner>
  /** Loads what a client keeps: embedding, final norm and head. */
  loadEnds(model: ModelHandle, options: LoadOptions): Promise<ModelEnds>
}

/** Changes to entries of one tensor: what a patch adds to the base. */
export interface SparseDelta {
  /** The tensor's canonical name (`tensorNames`). */
  readonly tensor: string
  /** Places in the tensor, row-major, ascending, none twice. */
  readonly indices: Uint32Array
  /** What is added at each place. */
  readonly values: Float32Array
}

/**
 * (IA)³ (Liu et al. 2022): an activation is multiplied by a vector. Keys and values as their projections give them, biases
 * included, before a key norm and before rotation: a scale can always be merged into the rows of a projection.
 */
export { type ScaleTarget, scaleTargets } from '#contracts/patch-file/patch.ts'

export interface ActivationScale {
  readonly block: number
  readonly target: ScaleTarget
  /** (kvHeads * headSize,) for key and value, (intermediateSize,) for the input of the down projection. */
  readonly values: Float32Array
}

/** LoRA (Hu et al. 2022): `left` times `right` is added to a matrix of a block. */
export interface LowRankDelta {
  readonly tensor: string
  readonly rank: number
  readonly left: Float32Array // (out, rank)
  readonly right: Float32Array // (rank, in)
}

/** A patch as compute sees it. Deltas and factors of several patches add up, scales multiply. */
export interface PatchWeights {
  readonly deltas: readonly SparseDelta[]
  readonly scales: readonly ActivationScale[]
  /** None when left out. */
  readonly factors?: readonly LowRankDelta[]
}

/** A patch prepared for one runner or one pair of ends; what it does not reach in them is left out. */
export interface LoadedPatch {
  readonly weightBytes: number
  /** Frees it. Sessions that use it keep it alive until they end. Idempotent. */
  dispose(): void
}

/** One session's part of a batch. */
export interface ForwardStep {
  readonly session: SpanSession
  /** (tokens, hiddenSize), appended at the session's end. */
  readonly hidden: Float32Array
}

/** Which numbers a gradient is wanted for. */
export type TrainedParameter =
  /** A whole tensor. */
  | { readonly kind: 'tensor'; readonly name: string }
  /** Some entries of a matrix (row-major, ascending), computed without forming the rest of its gradient. */
  | { readonly kind: 'entries'; readonly name: string; readonly indices: Uint32Array }
  /** An (IA)³ vector, all ones unless a patch sets it. */
  | { readonly kind: 'scale'; readonly block: number; readonly target: ScaleTarget }

export interface BackwardRequest {
  /** (tokens, hiddenSize): the span's input at positions [0, tokens), or after `after`'s positions. */
  readonly hidden: Float32Array
  /** (tokens, hiddenSize): gradient of a scalar with respect to the span's output. */
  readonly outputGradient: Float32Array
  /** A session whose cached keys and values come before; they are constants, and nothing is appended to it. */
  readonly after?: SpanSession
  /** All of the runner's when left out. */
  readonly span?: Span
  readonly patches?: readonly LoadedPatch[]
  /** Within the span. */
  readonly parameters?: readonly TrainedParameter[]
}

export interface BackwardResult {
  /** (tokens, hiddenSize) */
  readonly inputGradient: Float32Array
  /** One for each of the request's parameters, in their order, row-major or by entry. */
  readonly parameterGradients: readonly Float32Array[]
}

export interface SessionInit {
  readonly maxLength: number
  /** All of the runner's when left out. */
  readonly span?: Span
  /** Applied in this session only. */
  readonly patches?: readonly LoadedPatch[]
}

/** Blocks in memory, shared by many sessions. */
export interface SpanRunner {
  readonly span: Span
  readonly numericsClass: NumericsClass
  /** Bytes held for weights, without KV caches and patches. */
  readonly weightBytes: number
  /** Opens an empty KV cache. */
  openSession(init: SessionInit): SpanSession
  /**
   * Runs several sessions at once: the weights are read once for all. Each session's result is what `session.forward`
   * alone gives, up to the numerics class. Sessions are different ones, idle, of one span. When it throws, no session's
   * length changed; `ContextTooLongError` and `EngineMisuseError` come before any work.
   */
  forward(steps: readonly ForwardStep[], options?: { signal?: AbortSignal }): Promise<readonly Float32Array[]>
  /** Gradients through the frozen weights; the forward pass is computed again from `hidden`. */
  backward(request: BackwardRequest, options?: { signal?: AbortSignal }): Promise<BackwardResult>
  /** Throws `PatchMismatchError` for an unknown tensor or block, or indices or lengths that do not fit. */
  loadPatch(patch: PatchWeights): Promise<LoadedPatch>
  /** Frees weights and any session still open. Idempotent. */
  dispose(): Promise<void>
}

/** One sequence's KV cache over a span. Calls on one session do not overlap. */
export interface SpanSession {
  readonly span: Span
  /** Positions in the cache so far. */
  readonly length: number
  readonly maxLength: number
  /** Bytes held by the KV cache now; pages shared with other sessions count in each. */
  readonly cacheBytes: number
  /**
   * Appends `hidden` (tokens, hiddenSize) at positions [length, length + tokens) and returns the blocks' output of the
   * same shape. Throws `ContextTooLongError` past `maxLength`. When it throws, `length` is unchanged.
   */
  forward(hidden: Float32Array, options?: { signal?: AbortSignal }): Promise<Float32Array>
  /** Forgets positions from `length` on. Throws `RangeError` unless 0 <= length <= this.length. */
  truncate(length: number): void
  /**
   * A new session with the same patches that starts with this one's first `length` positions (all when left out), sharing
   * their memory until either writes. Throws `RangeError` as `truncate`.
   */
  fork(length?: number): SpanSession
  /** A copy of the KV cache, to be moved elsewhere: (blocks, 2, length, kvHeads * headSize), keys then values. */
  exportCache(): Promise<Float32Array>
  /** Fills an empty session with `cache` of `exportCache`'s form. Throws `RangeError` for a session in use or wrong sizes. */
  importCache(cache: Float32Array): Promise<void>
  dispose(): void
}

/** The parts of a model that stay with whoever generates. */
export interface ModelEnds {
  readonly numericsClass: NumericsClass
  readonly weightBytes: number
  /** (tokens,) ids to (tokens, hiddenSize). Throws `RangeError` for an id outside the vocabulary. */
  embed(
    tokens: readonly number[],
    options?: { signal?: AbortSignal; patches?: readonly LoadedPatch[] },
  ): Promise<Float32Array>
  /** (tokens, hiddenSize) to logits (tokens, vocabularySize), after the final norm. */
  logits(
    hidden: Float32Array,
    options?: { signal?: AbortSignal; patches?: readonly LoadedPatch[] },
  ): Promise<Float32Array>
  /** As `SpanRunner.loadPatch`, for the embedding, the final norm and the head; a tied head changes with the embedding. */
  loadPatch(patch: PatchWeights): Promise<LoadedPatch>
  dispose(): Promise<void>
}
