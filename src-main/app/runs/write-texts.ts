/**
 * Texts that a model writes for a run, several at once, so that its weights are read once for all: text of the base's own
 * kind, and what shows a person the difference a patch makes.
 */
import { createSampler, type Sampler } from '#core/generation/sampler.ts'
import type { Compute } from '#core/ports/compute.ts'
import type { LoadedPatch, ModelEnds, PatchWeights, SpanRunner, SpanSession } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'

/** A whole model in memory. */
export interface Writer extends AsyncDisposable {
  write(texts: readonly TextWish[], options: WriteOptions): Promise<readonly (readonly number[])[]>
}

export interface TextWish {
  /** At least one token. */
  readonly prompt: readonly number[]
  readonly seed: number
}

export interface WriteOptions {
  /** Of each text, its prompt left out; fewer when it comes to an end token, which is its last then. */
  readonly tokens: number
  readonly temperature: number
  /** In the order they apply. */
  readonly patches: readonly PatchWeights[]
  readonly gate: (signal: AbortSignal) => Promise<void>
  readonly signal: AbortSignal
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => Promise<void>
}

export interface WriterInit {
  readonly threads: number
  /** For weights. */
  readonly memoryBytes: number
  readonly endTokens: readonly number[]
  readonly signal: AbortSignal
}

/** Loads all blocks and the ends of `model`. Throws `EngineFailedError`. */
export async function openWriter(
  compute: Pick<Compute, 'choose' | 'engine'>,
  model: ModelHandle,
  { threads, memoryBytes, endTokens, signal }: WriterInit,
): Promise<Writer> {
  await using parts = new AsyncDisposableStack()
  const { blockCount, hiddenSize } = model.manifest.config
  const { backend, format } = await compute.choose(model.manifest, { threads, memoryBytes, signal })
  const engine = await compute.engine(backend)
  const options = { threads, format, signal }
  const runner = await engine.loadSpan(model, { start: 0, end: blockCount }, options)
  parts.defer(() => runner.dispose())
  const ends = await engine.loadEnds(model, options)
  parts.defer(() => ends.dispose())
  const owned = parts.move()
  return {
    async write(wishes, writing) {
      await using patches = await loadPatches({ runner, ends }, writing.patches)
      const total = wishes.length * writing.tokens
      const written: (readonly number[])[] = []
      for (let start = 0; start < wishes.length; start += sessionsAtOnce) {
        const group = wishes.slice(start, start + sessionsAtOnce)
        written.push(...(await writeGroup({ runner, ends, hiddenSize, endTokens, patches }, group, writing)))
        await writing.onProgress?.({ done: written.length * writing.tokens, total })
      }
      return written
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const sessionsAtOnce = 8

interface Patches extends AsyncDisposable {
  readonly ofRunner: readonly LoadedPatch[]
  readonly ofEnds: readonly LoadedPatch[]
}

interface Parts {
  readonly runner: SpanRunner
  readonly ends: ModelEnds
  readonly hiddenSize: number
  readonly endTokens: readonly number[]
  readonly patches: Patches
}

async function loadPatches(
  { runner, ends }: Pick<Parts, 'runner' | 'ends'>,
  weights: readonly PatchWeights[],
): Promise<Patches> {
  await using loaded = new AsyncDisposableStack()
  const ofRunner: LoadedPatch[] = []
  const ofEnds: LoadedPatch[] = []
  for (const patch of weights) {
    ofRunner.push(loaded.adopt(await runner.loadPatch(patch), (one) => one.dispose()))
    ofEnds.push(loaded.adopt(await ends.loadPatch(patch), (one) => one.dispose()))
  }
  const owned = loaded.move()
  return { ofRunner, ofEnds, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** One text while it is written. */
interface Page {
  readonly session: SpanSession
  readonly sample: Sampler
  readonly tokens: number[]
  /** (hiddenSize,) after the last block at the newest position. */
  hidden: Float32Array
}

async function writeGroup(
  parts: Parts,
  wishes: readonly TextWish[],
  { tokens, temperature, gate, signal }: WriteOptions,
): Promise<number[][]> {
  using sessions = new DisposableStack()
  const { runner, ends, hiddenSize, endTokens, patches } = parts
  const embed = (ids: readonly number[]) => ends.embed(ids, { signal, patches: patches.ofEnds })
  const pages: Page[] = []
  for (const { prompt, seed } of wishes) {
    await gate(signal)
    const init = { maxLength: prompt.length + tokens, patches: patches.ofRunner }
    const session = sessions.adopt(runner.openSession(init), (one) => one.dispose())
    const hidden = await session.forward(await embed(prompt), { signal })
    const sample = createSampler({ temperature, topK: 0, topP: 1, seed })
    pages.push({ session, sample, tokens: [], hidden: hidden.slice(-hiddenSize) })
  }

  for (let open = pages; tokens > 0 && open.length > 0; ) {
    await gate(signal)
    const logits = await ends.logits(join(open.map(({ hidden }) => hidden)), { signal, patches: patches.ofEnds })
    const vocabularySize = logits.length / open.length
    open.forEach(({ sample, tokens: written }, row) => {
      written.push(sample(logits.subarray(row * vocabularySize, (row + 1) * vocabularySize)))
    })
    open = open.filter((page) => page.tokens.length < tokens && !endTokens.includes(lastOf(page)))
    if (open.length === 0) break
    const embedded = await embed(open.map(lastOf))
    const steps = open.map(({ session }, row) => ({
      session,
      hidden: embedded.slice(row * hiddenSize, (row + 1) * hiddenSize),
    }))
    const outputs = await runner.forward(steps, { signal })
    for (const [row, page] of open.entries()) page.hidden = outputs[row] as Float32Array
  }
  return pages.map((page) => page.tokens)
}

function lastOf({ tokens }: Page): number {
  return tokens.at(-1) as number
}

function join(rows: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0))
  let at = 0
  for (const row of rows) {
    joined.set(row, at)
    at += row.length
  }
  return joined
}
