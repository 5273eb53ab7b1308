/**
 * The node: hosting, generating and the ledger joined, behind the calls that the API's handlers make. It receives
 * everything it needs and never knows which shell it runs in.
 */
import type { GenerateEvent, GenerateRequest } from '#contracts/api/chat.ts'
import type { EngineMeasureEvent, EngineOverview, EngineWish } from '#contracts/api/engine.ts'
import type { Budget, HardwareProfile, Policy } from '#contracts/api/hardware.ts'
import type { LedgerVerifyEvent } from '#contracts/api/ledger.ts'
import type { HostingState, ModelSummary, NodeStatus } from '#contracts/api/node.ts'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import type { Span } from '#contracts/span.ts'
import type { EngineInUse } from '#core/ports/compute.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { Settings } from '#core/ports/settings-store.ts'
import { createSerialQueue } from '#core/serial-queue.ts'
import { createBroadcast } from './broadcast.ts'
import { createEngines, type EngineSurvey } from './engines.ts'
import { createGenerator, type GeneratorComponents, type LocalBlocks } from './generator.ts'
import { createHosting, type Hosting, type HostingComponents } from './hosting.ts'
import { summariseModel } from './model-summary.ts'
import type { PatchDesk } from './patch-desk.ts'
import type { RunningPatchDesk } from './patches/create-patch-desk.ts'
import { type Activity, createActivity } from './runs/activity.ts'
import { createStatus } from './status.ts'
import type { TrainingDesk } from './training-desk.ts'
import { verifyLedger } from './verify-ledger.ts'

export interface NodeComponents
  extends Omit<HostingComponents, 'serving'>,
    Pick<GeneratorComponents, 'newSessionId' | 'drawSeed'> {
  readonly verifier: SignatureVerifier
  readonly engines: EngineSurvey
  readonly patchDesk: RunningPatchDesk
  /** Training knows what else this node does, and stands back. */
  readonly training: (beside: BesideTraining) => NodeTraining
}

/** What training makes room for. */
export interface BesideTraining {
  readonly budget: () => Budget | null
  /** What hosting takes, this process included. */
  readonly hostedBytes: () => number
  /** Blocks are being computed, or were a moment ago. */
  readonly serving: Pick<Activity, 'active' | 'onChange'>
  /** The owner waits for a text, or did a moment ago. */
  readonly ownerActive: () => boolean
}

export interface NodeTraining {
  readonly desk: TrainingDesk
  /** Goes on with the runs that were under way. */
  start(): Promise<void>
  stop(): Promise<void>
}

export interface NodeInit {
  readonly version: string
  /** Name or digest of the model to host. */
  readonly model: string
  readonly blocks: Span | 'auto'
}

export interface QuiltbeeNode {
  readonly version: string
  readonly peerId: string
  readonly logger: Logger
  readonly ledger: LedgerStore
  /** Joins the swarm; resolves once reachable, while blocks may still be loading. */
  start(): Promise<void>
  /** Resolves when the first decision about hosting has been carried out, whatever it was. */
  settled(): Promise<void>
  stop(): Promise<void>
  status(): Promise<NodeStatus>
  watch(signal?: AbortSignal): AsyncGenerator<NodeStatus, void, undefined>
  /** Stops giving, for `minutes` or until resumed; kept across restarts. */
  pause(minutes: number | null): Promise<void>
  resume(): Promise<void>
  hardware(): Promise<{ profile: HardwareProfile; policy: Policy }>
  /** Measures anew, and gives what may be given then. */
  detectHardware(): Promise<{ profile: HardwareProfile; policy: Policy }>
  engineOverview(options: { look: boolean; signal?: AbortSignal }): Promise<EngineOverview>
  measureEngines(signal?: AbortSignal): AsyncGenerator<EngineMeasureEvent, void, undefined>
  /** Kept; the blocks are loaded anew, behind this call, when another engine is to hold them. */
  chooseEngine(wish: EngineWish | null): Promise<EngineOverview>
  listModels(): Promise<ModelSummary[]>
  readonly training: TrainingDesk
  readonly patches: PatchDesk
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<GenerateEvent, void, undefined>
  verifyLedger(signal?: AbortSignal): AsyncGenerator<LedgerVerifyEvent, void, undefined>
}

/** At most four a second: a person cannot read faster, and an idle node sends none. */
const statusIntervalMs = 250

export function createNode(components: NodeComponents, init: NodeInit): QuiltbeeNode {
  const { swarm, ledger, settings, clock, models, logger } = components
  const broadcast = createBroadcast({ intervalMs: statusIntervalMs })
  const [serving, owner] = [createActivity({ clock }), createActivity({ clock })]
  const hosting = createHosting({ ...components, serving }, { ...init, onChange: broadcast.changed })
  const generator = createGenerator({
    ...components,
    selfId: swarm.selfId,
    local: () => localBlocks(hosting),
    choose: (manifest, signal) => engineFor(components, hosting, manifest, signal),
    threads: () => threadsOf(hosting),
    onRecorded: broadcast.changed,
  })
  const status = createStatus({ ...components, hosting }, { version: init.version, startedAtMs: clock.now() })
  const training = components.training({
    budget: hosting.budget,
    hostedBytes: () => hostedBytes(hosting.state()),
    serving,
    ownerActive: owner.active,
  })
  const settingsChanges = createSerialQueue()
  let settling: Promise<void> = Promise.resolve()
  let resuming: Promise<void> = Promise.resolve()
  let stopping = false
  let stopListening = (): void => {}

  const engines = createEngines(
    { ...components, hosting },
    {
      model: init.model,
      onChange: () => {
        settling = hosting.reconcile()
      },
    },
  )

  const setPaused = (pausedUntil: Settings['pausedUntil']): Promise<void> =>
    settingsChanges.add(async () => {
      await settings.write({ ...(await settings.read()), pausedUntil })
      await hosting.reconcile()
    })

  const hardware = async () => ({
    profile: hosting.profile() ?? (await components.probe.measure()),
    policy: (await settings.read()).policy,
  })

  return {
    version: init.version,
    peerId: swarm.selfId,
    logger,
    ledger,
    training: training.desk,
    patches: components.patchDesk,
    async start() {
      const recovered = await ledger.recover()
      if (recovered > 0) logger.warn({ recovered }, 'sessions cut by a crash were added to the ledger')
      stopListening = swarm.onChange(broadcast.changed)
      await swarm.start()
      components.patchDesk.start()
      settling = hosting.reconcile()
      // Blocks first: what they leave is what training may take.
      resuming = settling
        .then(() => (stopping ? undefined : training.start()))
        .catch((error: unknown) => logger.error({ error }, 'runs could not be taken up again'))
    },
    settled: () => settling,
    async stop() {
      stopListening()
      broadcast.stop()
      stopping = true
      await generator.stop()
      // A load under way is given up, and with it what waits for the load.
      await hosting.stop()
      await resuming
      await training.stop()
      await swarm.stop()
    },
    status,
    async *watch(signal) {
      for await (const _ of broadcast.changes(signal)) yield await status()
    },
    pause: (minutes) => setPaused(minutes === null ? 'owner' : clock.now() + minutes * 60_000),
    resume: () => setPaused(null),
    hardware,
    async detectHardware() {
      await hosting.reconcile()
      return await hardware()
    },
    engineOverview: engines.overview,
    measureEngines: engines.measure,
    chooseEngine: engines.choose,
    async listModels() {
      return (await models.list()).map(summariseModel)
    },
    async *generate(request, signal) {
      const over = Promise.withResolvers<void>()
      void owner.during(() => over.promise)
      try {
        const events = generator.generate({ ...request, model: request.model ?? init.model }, signal)
        for await (const event of events) yield ownPause(event, hosting.state())
      } finally {
        over.resolve()
      }
    },
    verifyLedger: (signal) => verifyLedger({ ...components, peerId: swarm.selfId }, signal),
  }
}

/** Before blocks are held it is this process alone. */
function hostedBytes(state: HostingState): number {
  return state.kind === 'hosting' ? state.memoryBytes : process.memoryUsage.rss()
}

/** The head gets the threads of the budget; one while nothing is given. */
function threadsOf(hosting: Hosting): number {
  const budget = hosting.budget()
  return budget?.kind === 'give' ? budget.threads : 1
}

/** The hosted model's ends are computed with what its blocks are; another model's with what suits it. */
async function engineFor(
  { compute }: Pick<NodeComponents, 'compute'>,
  hosting: Hosting,
  manifest: ModelManifest,
  signal: AbortSignal,
): Promise<EngineInUse> {
  const used = hosting.engine()
  if (used !== null && hosting.manifest()?.digest === manifest.digest) return used
  const memoryBytes = hosting.budget()?.memoryLimitBytes ?? 0
  return await compute.choose(manifest, { threads: threadsOf(hosting), memoryBytes, signal })
}

/** The blocks hosted for others serve this node too. */
function localBlocks(hosting: Hosting): LocalBlocks | null {
  const blocks = hosting.blocks()
  const manifest = hosting.manifest()
  return blocks === null || manifest === null ? null : { modelDigest: manifest.digest, ...blocks }
}

/** Blocks that are missing because the owner paused this machine are no riddle: say that it is paused. */
function ownPause(event: GenerateEvent, hosting: HostingState): GenerateEvent {
  if (event.type !== 'error' || hosting.kind !== 'paused') return event
  const isOurs = event.code === 'missing-blocks' || event.code === 'internal'
  return isOurs ? { ...event, code: 'paused', params: { reason: hosting.reason } } : event
}
