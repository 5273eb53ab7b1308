/**
 * The loop that makes text: tokens in, hidden states through the pipeline, logits, one token drawn, and again. It ends
 * with exactly one `end` or `error` event, and whatever text was certain until then has been given out before it.
 */
import type { GenerateEvent, HopReport, Sampling } from '#contracts/api/chat.ts'
import { CodedError, codeOf, type ErrorCode, InvalidInputError } from '#contracts/errors.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { ContextTooLongError } from '../errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { ModelEnds } from '../ports/engine.ts'
import type { Tokenizer } from '../ports/model-store.ts'
import type { Pipeline, PipelineRequest } from './pipeline.ts'
import { createSampler } from './sampler.ts'
import { createStopScanner } from './stop-strings.ts'

export interface GenerateComponents {
  readonly config: Pick<ModelConfig, 'hiddenSize' | 'contextLength'>
  readonly tokenizer: Tokenizer
  readonly ends: Pick<ModelEnds, 'embed' | 'logits'>
  readonly clock: Clock
  readonly openPipeline: (request: PipelineRequest) => Promise<Pipeline>
  /** An integer in [0, 2^32), for requests without a seed. */
  readonly drawSeed: () => number
  /** Told of every failure with its causes, which the `error` event does not carry. */
  readonly onFailure: (error: unknown) => void
}

export interface GenerateOptions {
  readonly prompt: string
  readonly maxTokens: number
  readonly sampling: Sampling
  readonly signal?: AbortSignal
  /** Positions of the prompt that go through the pipeline at once; 128 when left out. */
  readonly prefillTokens?: number
}

type EndReason = Extract<GenerateEvent, { type: 'end' }>['reason']

/** One generation's changing parts. */
interface Progress {
  tokens: number
  /** When the first and the newest token were drawn, on the monotonic clock. */
  firstTokenAtMs: number
  newestTokenAtMs: number
  pipeline: Pipeline | null
  readonly routeEvents: GenerateEvent[]
}

/** Ends early, without an event, when the consumer stops iterating: then too every session is closed. */
export async function* generate(
  components: GenerateComponents,
  options: GenerateOptions,
): AsyncGenerator<GenerateEvent, void, undefined> {
  const progress = newProgress()
  const writer = createWriter(components.tokenizer, options.sampling.stop)
  const seed = options.sampling.seed ?? components.drawSeed()
  try {
    const reason = yield* run(components, options, progress, writer, seed)
    await progress.pipeline?.close('completed')
    yield endEvent(progress, reason, seed)
  } catch (error) {
    const code = options.signal?.aborted ? 'cancelled' : codeOf(error)
    if (code !== 'cancelled') components.onFailure(error)
    await progress.pipeline?.close(outcomeAfter(code)).catch(components.onFailure)
    const rest = writer.end().text
    if (rest !== '') yield { type: 'text', text: rest, tokens: progress.tokens }
    yield errorEvent(error, code, progress)
  } finally {
    await progress.pipeline?.close('completed').catch(components.onFailure)
  }
}

async function* run(
  components: GenerateComponents,
  options: GenerateOptions,
  progress: Progress,
  writer: Writer,
  seed: number,
): AsyncGenerator<GenerateEvent, EndReason, undefined> {
  const { ends, tokenizer, clock } = components
  const forwardOptions = options.signal ? { signal: options.signal } : {}
  const sample = createSampler({ ...options.sampling, seed })
  const prompt = promptTokens(components, options.prompt)
  const limit = Math.min(options.maxTokens, components.config.contextLength - prompt.length + 1)

  const pipeline = await components.openPipeline({
    ...forwardOptions,
    maxLength: prompt.length + limit - 1,
    onRouteChange: ({ hops, lostPeerId }) => progress.routeEvents.push({ type: 'route', hops: [...hops], lostPeerId }),
  })
  progress.pipeline = pipeline
  yield { type: 'route', hops: [...pipeline.hops], lostPeerId: null }

  const startedAtMs = clock.monotonicMs()
  let logits = await prefill(components, options, pipeline, prompt)
  yield* progress.routeEvents.splice(0)
  yield { type: 'prompt', tokens: prompt.length, milliseconds: clock.monotonicMs() - startedAtMs }
  writer.skip(prompt)

  for (;;) {
    options.signal?.throwIfAborted()
    const token = sample(logits)
    if (tokenizer.endTokens.includes(token)) return yield* finish(writer, progress, 'end-token')
    countToken(progress, clock.monotonicMs())
    const { text, stopped } = writer.push(token)
    yield { type: 'text', text, tokens: progress.tokens }
    if (stopped) return 'stop-string'
    if (progress.tokens === limit) return yield* finish(writer, progress, 'length')

    const hidden = await pipeline.forward(await ends.embed([token], forwardOptions), forwardOptions)
    yield* progress.routeEvents.splice(0)
    logits = await ends.logits(hidden, forwardOptions)
  }
}

/** The prompt as the model was trained to see it. Throws `InvalidInputError` for nothing, `ContextTooLongError` for too much. */
function promptTokens({ config, tokenizer }: GenerateComponents, prompt: string): readonly number[] {
  const begin = tokenizer.beginToken === null ? [] : [tokenizer.beginToken]
  const tokens = [...begin, ...tokenizer.encode(prompt)]
  if (tokens.length === 0) throw new InvalidInputError('prompt', 'empty, and the model has no begin token')
  if (tokens.length > config.contextLength) throw new ContextTooLongError(tokens.length, config.contextLength)
  return tokens
}

/** Runs the prompt a piece at a time; (vocabularySize,) logits after its last token. */
async function prefill(
  { config, ends }: GenerateComponents,
  { signal, prefillTokens = 128 }: GenerateOptions,
  pipeline: Pipeline,
  prompt: readonly number[],
): Promise<Float32Array> {
  const options = signal ? { signal } : {}
  let hidden: Float32Array = new Float32Array(0)
  for (let start = 0; start < prompt.length; start += prefillTokens) {
    signal?.throwIfAborted()
    const embedded = await ends.embed(prompt.slice(start, start + prefillTokens), options)
    hidden = await pipeline.forward(embedded, options)
  }
  return await ends.logits(hidden.subarray(hidden.length - config.hiddenSize), options)
}

/** Gives out what the decoder and the scanner held back; a stop string may be completed by it. */
function* finish(writer: Writer, progress: Progress, reason: EndReason): Generator<GenerateEvent, EndReason> {
  const { text, stopped } = writer.end()
  if (text !== '') yield { type: 'text', text, tokens: progress.tokens }
  return stopped ? 'stop-string' : reason
}

interface Writer {
  /** Tokens that come before the text: they decide how it continues (a leading space, say), but are not shown. */
  skip(tokens: readonly number[]): void
  push(token: number): { readonly text: string; readonly stopped: boolean }
  end(): { readonly text: string; readonly stopped: boolean }
}

function createWriter(tokenizer: Tokenizer, stops: readonly string[]): Writer {
  const decoder = tokenizer.decodeStream()
  const scanner = createStopScanner(stops)
  let ended = false
  return {
    skip(tokens) {
      for (const token of tokens) decoder.push(token)
    },
    push: (token) => scanner.push(decoder.push(token)),
    end() {
      if (ended) return { text: '', stopped: false }
      ended = true
      const { text, stopped } = scanner.push(decoder.end())
      return { text: text + scanner.end(), stopped }
    },
  }
}

function newProgress(): Progress {
  return { tokens: 0, firstTokenAtMs: 0, newestTokenAtMs: 0, pipeline: null, routeEvents: [] }
}

function countToken(progress: Progress, nowMs: number): void {
  if (progress.tokens === 0) progress.firstTokenAtMs = nowMs
  progress.newestTokenAtMs = nowMs
  progress.tokens += 1
}

/** How the sessions still open ended: a reader who stops is no failure, and a lost peer none of this side. */
function outcomeAfter(code: ErrorCode): 'completed' | 'interrupted' | 'failed' {
  if (code === 'cancelled') return 'completed'
  return code === 'missing-blocks' || code === 'peer-lost' || code === 'session-refused' ? 'interrupted' : 'failed'
}

function endEvent(progress: Progress, reason: EndReason, seed: number): GenerateEvent {
  const seconds = (progress.newestTokenAtMs - progress.firstTokenAtMs) / 1000
  // The first token came out of the prompt's pass: the rate is that of the steps after it.
  const tokensPerSecond = seconds > 0 ? (progress.tokens - 1) / seconds : null
  return { type: 'end', reason, tokens: progress.tokens, seed, tokensPerSecond, hops: reportsOf(progress) }
}

function errorEvent(error: unknown, code: ErrorCode, progress: Progress): GenerateEvent {
  const told =
    error instanceof CodedError ? error.params : { what: error instanceof Error ? error.message : String(error) }
  const params = Object.entries(told).map(([key, value]) => [key, typeof value === 'object' ? [...value] : value])
  return { type: 'error', code, params: Object.fromEntries(params), tokens: progress.tokens, hops: reportsOf(progress) }
}

function reportsOf({ pipeline }: Progress): HopReport[] {
  return pipeline ? [...pipeline.reports()] : []
}
