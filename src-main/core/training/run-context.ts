/** What every phase of a run works with. */
import type { CurvePoint, RunPhase, RunPlan } from '#contracts/api/training.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { TrainedParameter } from '../ports/engine.ts'
import type { Trainee } from '../ports/training-engine.ts'
import { encodeCheckpoint, planDigest } from './checkpoint.ts'
import { splitHeldOut } from './held-out.ts'
import type { RunItem, WorkOptions } from './items.ts'
import type { RunState } from './run-state.ts'
import type { RunEvent, TrainingRunComponents, TrainingRunOptions } from './run-types.ts'
import { callTokens, type Gate } from './work-groups.ts'

export interface RunContext {
  readonly components: TrainingRunComponents
  readonly plan: RunPlan
  readonly options: TrainingRunOptions
  readonly config: ModelConfig
  readonly items: RunItems
  readonly gate: Gate
  /** For calls that only go forward. */
  readonly forward: WorkOptions
  /** Time at work so far: waiting at the gate is left out. */
  workedMs(): number
  phase(phase: RunPhase): Promise<void>
  progress(progress: Progress): Promise<void>
  point(point: CurvePoint): Promise<void>
  checkpoint(state: RunState): Promise<void>
}

export interface RunItems {
  readonly train: readonly RunItem[]
  readonly base: readonly RunItem[]
  readonly validation: readonly RunItem[]
  readonly test: readonly RunItem[]
  readonly baseTest: readonly RunItem[]
}

export interface Progress {
  readonly phase: RunPhase
  readonly done: number
  readonly total: number
  readonly step?: number
  readonly tokensPerSecond?: number
  readonly remainingSeconds?: number
}

export function createRunContext(
  components: TrainingRunComponents,
  plan: RunPlan,
  options: TrainingRunOptions,
): RunContext {
  const { clock, examples, baseText } = components
  const { config } = components.model.manifest
  const digest = planDigest(plan)
  const { signal } = options
  const startedMs = clock.monotonicMs()
  let waitedMs = 0
  const gate: Gate = async (abort) => {
    const fromMs = clock.monotonicMs()
    await components.gate(abort)
    waitedMs += clock.monotonicMs() - fromMs
  }
  const tell = (event: RunEvent) => options.onEvent(event)
  const { steps } = plan.hyperParameters
  return {
    components,
    plan,
    options,
    config,
    items: {
      train: examples.train,
      base: baseText.train,
      ...splitHeldOut<RunItem>(examples.heldOut),
      baseTest: baseText.heldOut,
    },
    gate,
    forward: { signal, gate, callTokens: callTokens(config, 'forward') },
    workedMs: () => clock.monotonicMs() - startedMs - waitedMs,
    phase: (phase) => tell({ type: 'phase', phase }),
    progress: ({ step = 0, tokensPerSecond = null, remainingSeconds = null, ...progress }) =>
      tell({ type: 'progress', progress: { ...progress, step, steps, tokensPerSecond, remainingSeconds } }),
    point: (point) => tell({ type: 'points', points: [point] }),
    checkpoint: (state) =>
      tell({ type: 'checkpoint', step: state.training?.step ?? 0, bytes: encodeCheckpoint(state, digest) }),
  }
}

/** Loads a trainee for as long as `use` takes, however it ends. */
export async function withTrainee<T>(
  { components, plan, options, gate }: RunContext,
  parameters: readonly TrainedParameter[],
  use: (trainee: Trainee) => Promise<T>,
): Promise<T> {
  const { engine, model, on } = components
  await gate(options.signal)
  options.signal.throwIfAborted()
  const init = { parameters, on, threads: plan.threads, signal: options.signal }
  const trainee = await engine.loadTrainee(model, init)
  try {
    return await use(trainee)
  } finally {
    await trainee.dispose()
  }
}

/** A copy of all that is trained. */
export async function allValues(trainee: Trainee): Promise<Float32Array[]> {
  const values: Float32Array[] = []
  for (const index of trainee.parameters.keys()) values.push(await trainee.values(index))
  return values
}

export async function setAllValues(trainee: Trainee, values: readonly Float32Array[]): Promise<void> {
  for (const [index, each] of values.entries()) await trainee.setValues(index, each)
}
