/** Builds what trains patches: the runs, and what the API and the command line ask of them. The same way for all shells. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { createDataSource } from '#adapters/datasets/data-source.ts'
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createHardwareProbe } from '#adapters/hardware/hardware-probe.ts'
import { openRunStore } from '#adapters/runs/open-run-store.ts'
import type { Activity } from '#app/runs/activity.ts'
import { createCarryOut } from '#app/runs/carry-out.ts'
import { createRunConditions } from '#app/runs/conditions.ts'
import { createRuns, type Runs } from '#app/runs/runs.ts'
import { createSuspension } from '#app/runs/suspension.ts'
import { createTrainingDesk, type TrainingDesk } from '#app/training-desk.ts'
import type { Budget } from '#contracts/api/hardware.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { decideBudget, lentThreads } from '#core/budget/decide-budget.ts'
import type { Identity } from '#core/ports/keys.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { ModelStore } from '#core/ports/model-store.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'
import type { RunStore } from '#core/ports/run-store.ts'
import type { SettingsStore } from '#core/ports/settings-store.ts'
import { assumedOperationsPerSecond } from '#core/training/assumed-speed.ts'
import { runTraining } from '#core/training/run-training.ts'
import type { AssembledCompute } from './compute.ts'

export interface TrainingAssembly {
  readonly directory: DataDirectory
  readonly logger: Logger
  /** Signs the patches. */
  readonly identity: Identity
  readonly settings: Pick<SettingsStore, 'read'>
  readonly models: ModelStore
  readonly library: PatchLibrary
  readonly compute: AssembledCompute
  /** The model that is meant where a request names none. */
  readonly model: string
  /** What else this process does; nothing when left out. */
  readonly beside?: {
    /** What hosting may take; decided again by itself when the owner or the battery says so. */
    readonly budget: () => Budget | null
    /** What hosting holds, this process included. */
    readonly hostedBytes: () => number
    readonly serving: Pick<Activity, 'active' | 'onChange'>
    readonly ownerActive: () => boolean
  }
}

export interface AssembledTraining extends AsyncDisposable {
  /** To be started when the first decision about hosting is made. */
  readonly runs: Runs
  readonly desk: TrainingDesk
  /** Removes what crashes left of runs that are no more. */
  sweep(): Promise<void>
}

/** Throws `StorageError`, and `InvalidInputError` for a SOURCE_DATE_EPOCH that is no time. */
export function assembleTraining(init: TrainingAssembly): AssembledTraining {
  const { directory, logger, identity, settings, models, library, compute, beside } = init
  const clock = systemClock
  const fixedMs = sourceDateMs(process.env)
  const store = openProfileRuns(directory, logger)
  const data = createDataSource({ directory: join(directory.profileDirectory, 'uploads') })
  const machine = createMachine(init)
  const conditions = createRunConditions({
    budget: beside?.budget ?? machine.budget,
    roomBytes: async () => (await machine.look()).memoryLimitBytes - (beside?.hostedBytes() ?? 0),
    servingActive: beside?.serving.active ?? (() => false),
    ownerActive: beside?.ownerActive ?? (() => false),
  })
  const suspender = compute.trainingSuspender
  const suspension = beside && suspender ? createSuspension({ clock, serving: beside.serving, suspender }) : undefined
  const carryOut = createCarryOut({
    ...{ store, data, library, models, compute, identity, logger, runTraining },
    clock: suspension?.clock ?? clock,
    training: async () => compute.training(),
    nodeName: async () => (await settings.read()).nodeName,
  })
  const runs = createRuns({ store, conditions, carryOut, clock, suspension, logger })
  const desk = createTrainingDesk(
    {
      ...{ runs, data, store, library, models },
      machine: machine.look,
      dateMs: () => fixedMs ?? clock.now(),
      newRunId: randomUUID,
    },
    { model: init.model },
  )
  return {
    runs,
    desk,
    sweep: () => store.sweep(),
    async [Symbol.asyncDispose]() {
      suspension?.[Symbol.dispose]()
      await runs.stop()
      await store.close()
    },
  }
}

/** A profile's runs, to be looked at whether a node runs or not. */
export function openProfileRuns(
  { profileDirectory }: DataDirectory,
  logger?: Logger,
): RunStore & ReturnType<typeof openRunStore> {
  return openRunStore({
    file: join(profileDirectory, 'runs.db'),
    directory: join(profileDirectory, 'runs'),
    onDamage: (error) => logger?.warn({ error }, 'a run cannot be read'),
  })
}

/** This machine as the policy gives it to runs. */
function createMachine({ directory, settings, compute }: TrainingAssembly) {
  const probe = createHardwareProbe({ dataDirectory: directory.home, clock: systemClock })
  let budget: Budget | null = null
  return {
    /** As `look` found it; what a node's hosting knows is fresher. */
    budget: () => budget,
    async look() {
      const profile = await probe.measure()
      const { policy } = await settings.read()
      const heldBytes = process.memoryUsage.rss() + (await compute.residentBytes())
      budget = decideBudget(profile, policy, null, { pausedByOwner: false, heldBytes })
      const threads = lentThreads(profile, policy)
      return {
        threads,
        memoryLimitBytes: budget.memoryLimitBytes,
        assumedOperationsPerSecond: assumedOperationsPerSecond(profile.cpu.simd, threads),
      }
    },
  }
}

/** reproducible-builds.org/specs/source-date-epoch: seconds; null when it is not set. */
function sourceDateMs({ SOURCE_DATE_EPOCH: text = '' }: NodeJS.ProcessEnv): number | null {
  if (text === '') return null
  const seconds = Number(text)
  if (/^\d{1,12}$/.test(text)) return seconds * 1000
  throw new InvalidInputError('SOURCE_DATE_EPOCH', 'seconds since 1970 expected')
}
