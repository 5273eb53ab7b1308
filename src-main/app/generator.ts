/**
 * Generating on this node: keeps the ends of the model in use (embedding, norm, head) and its tokenizer loaded, opens a
 * route through peers and own blocks, and records what was used.
 */
import type { GenerateEvent, GenerateRequest } from '#contracts/api/chat.ts'
import type { Digest } from '#contracts/digest.ts'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import { generate } from '#core/generation/generate.ts'
import type { Pipeline, PipelineRequest } from '#core/generation/pipeline.ts'
import { createPatchShelf, type PatchLoan, type PatchShelf } from '#core/hosting/patch-shelf.ts'
import { openRoutedSession } from '#core/hosting/routed-session.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Compute, EngineInUse } from '#core/ports/compute.ts'
import type { LoadedPatch, ModelEnds, PatchWeights, SpanRunner } from '#core/ports/engine.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { ModelStore, Tokenizer } from '#core/ports/model-store.ts'
import type { PatchProvider } from '#core/ports/patch-provider.ts'
import type { Swarm } from '#core/ports/swarm.ts'
import { createSerialQueue } from '#core/serial-queue.ts'
import { failureOf } from './failure.ts'

export interface LocalBlocks {
  readonly modelDigest: Digest
  readonly runner: SpanRunner
  /** For sessions on these blocks. */
  readonly patches: PatchShelf
}

export interface GeneratorComponents {
  readonly models: ModelStore
  readonly compute: Pick<Compute, 'engine' | 'onFailure'>
  /** What to compute a model with. */
  readonly choose: (manifest: ModelManifest, signal: AbortSignal) => Promise<EngineInUse>
  /** Null when this node is in no swarm. */
  readonly swarm: Swarm | null
  readonly selfId: string
  readonly patches: PatchProvider
  readonly ledger: Pick<LedgerStore, 'append' | 'journal'>
  readonly clock: Clock
  readonly logger: Logger
  readonly newSessionId: () => string
  readonly drawSeed: () => number
  /** Blocks in memory here that may be used, and of which model; null for none. */
  readonly local: () => LocalBlocks | null
  /** Threads that the head may use. */
  readonly threads: () => number
  /** Told after a session was written to the ledger. */
  readonly onRecorded: () => void
}

export interface Generator {
  generate(
    request: GenerateRequest & { readonly model: string },
    signal?: AbortSignal,
  ): AsyncGenerator<GenerateEvent, void, undefined>
  /** Ends what is being generated and frees what was kept. */
  stop(): Promise<void>
}

/** The loaded parts of one model, kept until another model is asked for. */
interface Loaded {
  readonly manifest: ModelManifest
  readonly tokenizer: Tokenizer
  readonly ends: ModelEnds
  readonly patches: PatchShelf
  readonly backend: string
  users: number
  /** Another model has taken its place: freed when the last user is done. */
  retired: boolean
}

export function createGenerator(components: GeneratorComponents): Generator {
  const { models, compute, clock, logger } = components
  const loading = createSerialQueue()
  const stopping = new AbortController()
  const underWay = new Set<Promise<void>>()
  let current: Loaded | null = null

  /** What was loaded in a broken engine is gone: the next text loads it again. */
  const stopListening = compute.onFailure((backend) => {
    if (current?.backend !== backend) return
    const lost = current
    current = null
    void retire(lost).catch((error: unknown) => logger.warn({ error }, 'could not free what a broken engine held'))
  })

  async function load(model: string): Promise<Loaded> {
    const handle = await models.open(model)
    try {
      if (current?.manifest.digest === handle.manifest.digest) return current
      // In this order: when the tokenizer cannot be read, no memory has been taken yet.
      const tokenizer = await handle.tokenizer()
      const { backend, format } = await components.choose(handle.manifest, stopping.signal)
      const engine = await compute.engine(backend)
      const options = { threads: components.threads(), format, signal: stopping.signal }
      const ends = await engine.loadEnds(handle, options)
      const previous = current
      const { manifest } = handle
      const patches = createOwnShelf(components.patches, manifest.digest, (weights) => ends.loadPatch(weights))
      const loaded = { manifest, tokenizer, ends, patches, backend, users: 0, retired: false }
      // At once: from here on `onFailure` must find them when their engine breaks.
      current = loaded
      await retire(previous)
      return loaded
    } finally {
      await handle.close()
    }
  }

  const acquire = (model: string): Promise<Loaded> =>
    loading.add(async () => {
      const loaded = await load(model)
      loaded.users += 1
      return loaded
    })

  async function letGo(loaded: Loaded): Promise<void> {
    loaded.users -= 1
    if (loaded.retired && loaded.users === 0) await free(loaded)
  }

  async function retire(loaded: Loaded | null): Promise<void> {
    if (loaded === null) return
    loaded.retired = true
    if (loaded.users === 0) await free(loaded)
  }

  async function free({ patches, ends }: Loaded): Promise<void> {
    patches.close()
    await ends.dispose()
  }

  async function* run(
    request: GenerateRequest & { readonly model: string },
    signal: AbortSignal,
  ): AsyncGenerator<GenerateEvent, void, undefined> {
    const loaded = await acquire(request.model)
    let loan: PatchLoan | null = null
    const onFailure = (error: unknown) => logger.warn({ error }, 'a generation failed')
    try {
      const patches = await resolveAll(components.patches, request.patches, loaded.manifest.digest)
      loan = await loaded.patches.borrow(patches, signal)
      yield* generate(
        {
          config: loaded.manifest.config,
          tokenizer: loaded.tokenizer,
          ends: patchedEnds(loaded.ends, loan.patches),
          clock,
          drawSeed: components.drawSeed,
          onFailure,
          openPipeline: (pipeline) =>
            openRoute(components, loaded.manifest, { ...pipeline, patches, localOnly: request.localOnly }),
        },
        { prompt: request.prompt, maxTokens: request.maxTokens, sampling: request.sampling, signal },
      )
    } finally {
      loan?.giveBack()
      await letGo(loaded)
    }
  }

  return {
    async *generate(request, signal) {
      const ended = Promise.withResolvers<void>()
      underWay.add(ended.promise)
      try {
        yield* run(request, signal === undefined ? stopping.signal : AbortSignal.any([signal, stopping.signal]))
      } catch (error) {
        // Before the first event: the model could not be opened. Everything later ends with an event of its own.
        logger.warn({ error }, 'a generation could not start')
        yield { type: 'error', ...failureOf(error), tokens: 0, hops: [] }
      } finally {
        underWay.delete(ended.promise)
        ended.resolve()
      }
    },
    async stop() {
      stopListening()
      stopping.abort()
      await Promise.all(underWay)
      await loading.add(() => retire(current))
    },
  }
}

/** Patches on what this node holds itself: of its own choosing, so only from its library. */
const ownPatchLimits = { unusedBytes: 64 * 1024 ** 2, usedBytes: Number.POSITIVE_INFINITY }

export function createOwnShelf(
  provider: PatchProvider,
  base: Digest,
  load: (weights: PatchWeights) => Promise<LoadedPatch>,
): PatchShelf {
  const weights = (patch: Digest, signal?: AbortSignal) =>
    provider.weights(patch, { base, mayFetch: false, ...(signal && { signal }) })
  return createPatchShelf({ weights, load }, ownPatchLimits)
}

/** Each patch once, however often and under whatever names it was asked for. */
async function resolveAll(provider: PatchProvider, names: readonly string[], base: Digest): Promise<readonly Digest[]> {
  return [...new Set(await Promise.all(names.map((name) => provider.resolve(name, base))))]
}

function patchedEnds(ends: ModelEnds, patches: readonly LoadedPatch[]): Pick<ModelEnds, 'embed' | 'logits'> {
  if (patches.length === 0) return ends
  return {
    embed: (tokens, options) => ends.embed(tokens, { ...options, patches }),
    logits: (hidden, options) => ends.logits(hidden, { ...options, patches }),
  }
}

async function openRoute(
  components: GeneratorComponents,
  manifest: ModelManifest,
  request: PipelineRequest & { readonly patches: readonly Digest[]; readonly localOnly: boolean },
): Promise<Pipeline> {
  const { ledger, onRecorded } = components
  const here = components.local()
  const local = here?.modelDigest === manifest.digest ? here : null
  return await openRoutedSession(
    {
      ...components,
      nodeName: null,
      local: local?.runner ?? null,
      ...(local && { localPatches: local.patches }),
      ledger: {
        journal: (record) => ledger.journal(record),
        append: async (record) => {
          const entry = await ledger.append(record)
          onRecorded()
          return entry
        },
      },
    },
    { ...request, modelDigest: manifest.digest, config: manifest.config },
  )
}
