/**
 * What this node gives, kept in step with what may be given: it looks at the machine and the owner's settings, decides the
 * budget, and loads, offers or frees blocks until the two agree. All changes run one after the other through `reconcile`.
 */
import type { Budget, HardwareProfile } from '#contracts/api/hardware.ts'
import type { HostingState } from '#contracts/api/node.ts'
import type { Digest } from '#contracts/digest.ts'
import { CodedError, codeOf } from '#contracts/errors.ts'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import { type Span, spanLength } from '#contracts/span.ts'
import { decideBudget } from '#core/budget/decide-budget.ts'
import { chooseSpan } from '#core/hosting/choose-span.ts'
import { createPatchShelf, type PatchShelf } from '#core/hosting/patch-shelf.ts'
import { reloadDelayMs } from '#core/hosting/reload-delay.ts'
import { createSpanHost, type SpanHost } from '#core/hosting/span-host.ts'
import { blockWeightBytes, cacheBytesPerPosition, endsWeightBytes } from '#core/models/block-size.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Compute, EngineInUse } from '#core/ports/compute.ts'
import type { SpanRunner, WeightFormat } from '#core/ports/engine.ts'
import type { HardwareProbe } from '#core/ports/hardware-probe.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { ModelStore } from '#core/ports/model-store.ts'
import type { PatchProvider } from '#core/ports/patch-provider.ts'
import type { SettingsStore } from '#core/ports/settings-store.ts'
import type { Swarm } from '#core/ports/swarm.ts'
import { createSerialQueue } from '#core/serial-queue.ts'
import { failureOf } from './failure.ts'
import { type Activity, noteForwards } from './runs/activity.ts'

export interface HostingComponents {
  readonly probe: HardwareProbe
  readonly models: ModelStore
  readonly compute: Compute
  readonly patches: PatchProvider
  /** Told whenever blocks are computed. */
  readonly serving: Activity
  readonly ledger: LedgerStore
  readonly swarm: Swarm
  readonly settings: SettingsStore
  readonly clock: Clock
  readonly logger: Logger
}

export interface HostingInit {
  /** Name or digest of the model to host. */
  readonly model: string
  readonly blocks: Span | 'auto'
  readonly onChange: () => void
}

export interface Hosting {
  state(): HostingState
  budget(): Budget | null
  profile(): HardwareProfile | null
  manifest(): ModelManifest | null
  /** The blocks in memory, for this node's own use, and patches on them; null while none are. */
  blocks(): { readonly runner: SpanRunner; readonly patches: PatchShelf } | null
  /** What the hosted model is computed with; null before that is decided. */
  engine(): EngineInUse | null
  /** Brings what is given in step with what may be given. Never throws: failures are a state. */
  reconcile(): Promise<void>
  stop(): Promise<void>
}

interface Held {
  readonly span: Span
  readonly engine: EngineInUse
  readonly runner: SpanRunner
  readonly patches: PatchShelf
  readonly host: SpanHost
  /** Of this node, workers included, with the blocks loaded; measured right after. */
  memoryBytes: number
}

/** How long to listen for who holds what before choosing blocks, when not all of them fit here. */
const lookAroundMs = 2_000
/** In memory, for all sessions. */
const hostedPatchLimits = { unusedBytes: 64 * 1024 ** 2, usedBytes: 256 * 1024 ** 2 }
/** Less than a client waits for its session to be opened. */
const fetchPatchWithinMs = 50_000
/** What cannot be held in four bits cannot be held. */
const smallestFormat: WeightFormat = 'int4'
/** Batteries are looked at this often, and only on machines that have one. */
const batteryCheckMs = 30_000

export function createHosting(components: HostingComponents, init: HostingInit): Hosting {
  const { models, compute, swarm, settings, clock, logger } = components
  const changes = createSerialQueue()
  const stopping = new AbortController()
  let loading: AbortController | null = null
  let state: HostingState = { kind: 'starting' }
  let budget: Budget | null = null
  let profile: HardwareProfile | null = null
  let manifest: ModelManifest | null = null
  let held: Held | null = null
  let chosen: EngineInUse | null = null
  let wake: NodeJS.Timeout | null = null
  /** Loads in a row that an engine broke. */
  let failedLoads = 0
  /** Blocks were lost with their engine and are not back yet. */
  let again = false

  const become = (next: HostingState): void => {
    state = next
    init.onChange()
  }

  async function reconcileNow(): Promise<void> {
    if (stopping.signal.aborted) return
    const owner = await settings.read()
    const pausedUntil = stillPaused(owner.pausedUntil, clock.now())
    profile = await components.probe.measure({ signal: stopping.signal })
    manifest ??= await readManifest()
    const workerBytes = await compute.residentBytes()
    const decide = (format: WeightFormat): Budget =>
      decideBudget(profile as HardwareProfile, owner.policy, manifest === null ? null : modelNeeds(manifest, format), {
        pausedByOwner: pausedUntil !== null,
        // What this process and its workers hold would be free without them; the budget counts it as this node's own.
        heldBytes: process.memoryUsage.rss() + workerBytes,
      })
    wakeAgain(
      typeof pausedUntil === 'number' ? pausedUntil - clock.now() : profile.battery === null ? null : batteryCheckMs,
    )
    // Measuring engines is worth it only where something can be given at all.
    budget = decide(smallestFormat)
    if (budget.kind === 'give') {
      chosen = await choose(budget)
      budget = decide(chosen.format)
    }
    const decided = budget
    if (decided.kind === 'nothing') {
      await release()
      again = false
      const untilMs = decided.reason === 'paused-by-owner' && typeof pausedUntil === 'number' ? pausedUntil : null
      return become({ kind: 'paused', reason: decided.reason, untilMs })
    }
    if (held !== null && !isSameEngine(held.engine, chosen)) await release()
    if (held !== null && spanLength(held.span) > decided.blocks) await release()
    if (held === null) await give(decided, owner.nodeName)
    else become(hostingState(held))
  }

  async function choose({ threads, memoryLimitBytes }: Extract<Budget, { kind: 'give' }>): Promise<EngineInUse> {
    return await compute.choose(manifest as ModelManifest, {
      threads,
      memoryBytes: memoryLimitBytes,
      signal: stopping.signal,
      onMeasuring: ({ done, total }) => become({ kind: 'measuring', done, total }),
    })
  }

  async function give(allowed: Extract<Budget, { kind: 'give' }>, nodeName: string): Promise<void> {
    const used = chosen as EngineInUse
    const model = await models.open(init.model)
    try {
      const { digest, config } = model.manifest
      const span = await pickSpan(allowed, config.blockCount, model.manifest)
      loading = new AbortController()
      become({ kind: 'loading', span, blocksLoaded: 0, blocksTotal: spanLength(span), again })
      const engine = await compute.engine(used.backend)
      const loaded = await engine.loadSpan(model, span, {
        threads: allowed.threads,
        format: used.format,
        signal: AbortSignal.any([loading.signal, stopping.signal]),
        onProgress: (progress) => become({ kind: 'loading', span, ...progress, again }),
      })
      const runner = noteForwards(loaded, components.serving)
      const patches = createHostedShelf(components.patches, digest, runner)
      const host = createSpanHost(
        { runner, patches, ledger: components.ledger, clock, modelDigest: digest, hiddenSize: config.hiddenSize },
        {
          maxSessions: allowed.sessions,
          maxSessionsPerPeer: Math.max(1, Math.ceil(allowed.sessions / 2)),
          maxLength: allowed.maxLength,
        },
      )
      const given: Held = { span, runner, patches, host, engine: used, memoryBytes: 0 }
      // Nothing is waited for in between: whatever becomes of the engine from here on concerns blocks that are held.
      held = given
      again = false
      failedLoads = 0
      given.memoryBytes = await residentBytes()
      host.onChange(() => {
        if (held === given) become(hostingState(given))
      })
      swarm.serve(host)
      await swarm.offer({ modelDigest: digest, span, maxLength: allowed.maxLength, nodeName })
      logger.info({ span, digest }, 'hosting')
      become(hostingState(given))
    } finally {
      loading = null
      await model.close()
    }
  }

  async function pickSpan(
    allowed: Extract<Budget, { kind: 'give' }>,
    blockCount: number,
    model: ModelManifest,
  ): Promise<Span> {
    if (init.blocks !== 'auto') return checkSpan(init.blocks, allowed.blocks, blockCount)
    if (allowed.blocks >= blockCount) return { start: 0, end: blockCount }
    const offers = await swarm.findOffers(model.digest, {
      enough: () => false,
      timeoutMs: lookAroundMs,
      signal: stopping.signal,
    })
    return chooseSpan({ blockCount, blocks: allowed.blocks, offers, selfId: swarm.selfId })
  }

  /** Of this process and of the workers that compute for it. */
  async function residentBytes(): Promise<number> {
    return process.memoryUsage.rss() + (await compute.residentBytes())
  }

  /**
   * An engine broke: the blocks it held are loaded again, and sessions that were on them are over. One that breaks while it
   * loads fails the load, which is tried again later.
   */
  async function recover(backend: string): Promise<void> {
    const lost = held
    if (lost?.engine.backend !== backend) return
    logger.warn({ backend }, 'blocks were lost with their engine; loading them again')
    again = true
    become({ kind: 'loading', span: lost.span, blocksLoaded: 0, blocksTotal: spanLength(lost.span), again })
    await changes
      .add(() => (held === lost ? release() : undefined))
      .catch((error: unknown) => logger.error({ error }, 'could not free the blocks'))
    await reconcile()
  }
  const stopListening = compute.onFailure((backend) => void recover(backend))

  async function release(): Promise<void> {
    const released = held
    if (released === null) return
    held = null
    swarm.serve(null)
    await swarm.offer(null).catch((error: unknown) => logger.warn({ error }, 'could not withdraw the offer'))
    await released.host.close()
    released.patches.close()
    await released.runner.dispose()
  }

  async function readManifest(): Promise<ModelManifest> {
    const model = await models.open(init.model)
    await model.close()
    return model.manifest
  }

  function wakeAgain(afterMs: number | null): void {
    if (wake !== null) clearTimeout(wake)
    wake = null
    if (afterMs === null) return
    // A timer holds at most 2^31 - 1 ms; a longer pause is looked at again then.
    wake = setTimeout(() => void reconcile(), Math.min(Math.max(0, afterMs), 2 ** 31 - 1))
    wake.unref()
  }

  function reconcile(): Promise<void> {
    loading?.abort()
    return changes.add(async () => {
      try {
        await reconcileNow()
      } catch (error) {
        if (stopping.signal.aborted || codeOf(error) === 'cancelled') return
        logger.error({ error }, 'hosting failed')
        await release().catch((cause: unknown) => logger.error({ error: cause }, 'could not free the blocks'))
        again = false
        become({ kind: 'failed', ...failureOf(error) })
        // Other failures wait for somebody to mend them; an engine may run the next time.
        if (codeOf(error) === 'engine-failed') wakeAgain(reloadDelayMs(++failedLoads))
      }
    })
  }

  return {
    state: () => state,
    budget: () => budget,
    profile: () => profile,
    manifest: () => manifest,
    blocks: () => held,
    // The reason may change while the engine stays.
    engine: () => (held !== null && !isSameEngine(held.engine, chosen) ? held.engine : chosen),
    reconcile,
    async stop() {
      stopListening()
      stopping.abort()
      if (wake !== null) clearTimeout(wake)
      await changes.add(release)
    },
  }
}

/** Patches that sessions of peers bring with them: fetched when they are not here. */
function createHostedShelf(provider: PatchProvider, base: Digest, runner: SpanRunner): PatchShelf {
  return createPatchShelf(
    {
      weights: (patch, closing) => provider.weights(patch, { base, mayFetch: true, signal: untilLate(closing) }),
      load: (weights) => runner.loadPatch(weights),
    },
    hostedPatchLimits,
  )
}

function untilLate(closing: AbortSignal | undefined): AbortSignal {
  const late = AbortSignal.timeout(fetchPatchWithinMs)
  return closing === undefined ? late : AbortSignal.any([closing, late])
}

function hostingState(held: Held): HostingState {
  return {
    kind: 'hosting',
    span: held.span,
    sessions: held.host.sessions,
    memoryBytes: held.memoryBytes,
  }
}

/** Null once a timed pause is over. */
function stillPaused(pausedUntil: 'owner' | number | null, nowMs: number): 'owner' | number | null {
  return typeof pausedUntil === 'number' && pausedUntil <= nowMs ? null : pausedUntil
}

function isSameEngine(held: EngineInUse, wanted: EngineInUse | null): boolean {
  return wanted === null || (held.backend === wanted.backend && held.format === wanted.format)
}

function modelNeeds(manifest: ModelManifest, format: WeightFormat) {
  const { digest, config } = manifest
  return {
    digest,
    config,
    blockWeightBytes: blockWeightBytes(config, format),
    endsBytes: endsWeightBytes(config, format),
    cacheBytesPerPosition: cacheBytesPerPosition(config),
  }
}

/** The span the owner asked for by hand. Throws when the model lacks it or the budget is too small. */
function checkSpan(span: Span, allowed: number, blockCount: number): Span {
  if (span.end > blockCount) {
    throw new CodedError('invalid-input', `the model has ${blockCount} blocks`, {
      where: 'blocks',
      what: `the model has ${blockCount} blocks`,
    })
  }
  if (spanLength(span) > allowed) {
    throw new CodedError('budget-exceeded', `${spanLength(span)} blocks asked for, ${allowed} fit`, {
      wanted: spanLength(span),
      maximum: allowed,
    })
  }
  return span
}
