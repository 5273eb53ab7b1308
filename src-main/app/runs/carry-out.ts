/**
 * What a run does, from its data to a patch in the library: read, write text of the base's own, train, show the difference,
 * sign. Everything up to the training's last checkpoint is done again by a run that goes on; all of it comes out the same.
 */
import type { RunPhase, RunPlan, Sample } from '#contracts/api/training.ts'
import type { PatchDescription } from '#contracts/patch-file/header.ts'
import { writePatch } from '#contracts/patch-file/write-patch.ts'
import { EngineFailedError } from '#core/errors.ts'
import { patchWeightsOf } from '#core/patches/patch-weights.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Compute } from '#core/ports/compute.ts'
import type { DataSource } from '#core/ports/data-source.ts'
import type { PatchWeights } from '#core/ports/engine.ts'
import type { Identity } from '#core/ports/keys.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { ModelHandle, ModelStore } from '#core/ports/model-store.ts'
import type { KeptPatch, PatchLibrary } from '#core/ports/patch-library.ts'
import type { RunStore } from '#core/ports/run-store.ts'
import type { TrainingEngine } from '#core/ports/training-engine.ts'
import type { RunExamples, RunTraining, TrainingOutcome, TrainingRunComponents } from '#core/training/run-types.ts'
import type { CarryOut, CarryOutOptions } from './carry-out-types.ts'
import { type OwnText, ownText } from './own-text.ts'
import { readData } from './read-data.ts'
import { writeSamples } from './samples.ts'
import { sharedMaskOf } from './shared-mask.ts'
import { openWriter, type Writer } from './write-texts.ts'

export interface CarryOutComponents {
  readonly store: Pick<RunStore, 'directory'>
  readonly data: Pick<DataSource, 'open'>
  readonly library: Pick<PatchLibrary, 'add' | 'get' | 'read' | 'withMask'>
  readonly models: Pick<ModelStore, 'open'>
  readonly compute: Pick<Compute, 'choose' | 'engine'>
  /** Null when nothing here can train. */
  readonly training: () => Promise<TrainingEngine | null>
  readonly runTraining: RunTraining
  /** Signs the patch. */
  readonly identity: Identity
  /** The author's name in it. */
  readonly nodeName: () => Promise<string>
  readonly clock: Clock
  readonly logger: Logger
}

interface Run {
  readonly id: string
  readonly plan: RunPlan
}

/** What a run works with. */
interface Gathered {
  readonly model: ModelHandle
  readonly on: readonly PatchWeights[]
  readonly examples: RunExamples
  readonly baseText: OwnText
  readonly mask: TrainingRunComponents['mask']
}

export function createCarryOut(components: CarryOutComponents): CarryOut {
  return async (run, options) => {
    const model = await components.models.open(run.plan.base.digest)
    try {
      const gathered = await gather(components, run, model, options)
      const outcome = await train(components, run, gathered, options)
      const samples = await showDifference(components, run, { ...gathered, outcome }, options)
      await enter('writing', options)
      const patch = await keep(components, run.plan, outcome, options.signal)
      const { metrics, roundingLoss, earlyStopped } = outcome
      const result = { patch: patch.digest, patchBytes: patch.sizeBytes, metrics: [...metrics], samples, roundingLoss }
      return { result, earlyStopped }
    } finally {
      await model.close()
    }
  }
}

async function enter(phase: RunPhase, { onEvent, gate, signal }: CarryOutOptions): Promise<void> {
  await onEvent({ type: 'phase', phase })
  await gate(signal)
}

async function gather(
  components: CarryOutComponents,
  run: Run,
  model: ModelHandle,
  options: CarryOutOptions,
): Promise<Gathered> {
  const { library, data } = components
  const { request, objective, hyperParameters } = run.plan
  const { signal, gate } = options
  await enter('preparing', options)
  const reading = {
    sequenceLength: hyperParameters.sequenceLength,
    signal,
    onProgress: () => gate(signal),
  }
  const on = []
  for (const parent of request.parents) on.push(patchWeightsOf(await library.read(parent, { signal })))
  const mask = request.sharedMask === null ? null : await sharedMaskOf(library, request.sharedMask, signal)
  const { examples } = await readData(data, model, request.data, { ...reading, objective })
  const baseText =
    request.protection.kind === 'files'
      ? (await readData(data, model, request.protection.files, { ...reading, objective: 'language-model' })).examples
      : await writtenByBase(components, run, { model, on }, options)
  return { model, on, examples, mask, baseText: baseText as OwnText }
}

async function writtenByBase(
  components: CarryOutComponents,
  run: Run,
  { model, on }: Pick<Gathered, 'model' | 'on'>,
  { gate, signal, onEvent }: CarryOutOptions,
): Promise<OwnText> {
  await using parts = new AsyncDisposableStack()
  const writer = async () => parts.use(await openRunWriter(components, run.plan, model, signal))
  const tokenizer = await model.tokenizer()
  const { steps } = run.plan.hyperParameters
  return await ownText(writer, await components.store.directory(run.id), {
    ...{ plan: run.plan, tokenizer, on, gate, signal },
    onProgress: ({ done, total }) =>
      onEvent({
        type: 'progress',
        progress: { phase: 'preparing', done, total, step: 0, steps, tokensPerSecond: null, remainingSeconds: null },
      }),
  })
}

async function openRunWriter(
  { compute }: CarryOutComponents,
  { threads, predicted }: RunPlan,
  model: ModelHandle,
  signal: AbortSignal,
): Promise<Writer> {
  const { endTokens } = await model.tokenizer()
  return await openWriter(compute, model, { threads, memoryBytes: predicted.memoryBytes, endTokens, signal })
}

async function train(
  components: CarryOutComponents,
  { plan }: Run,
  gathered: Gathered,
  options: CarryOutOptions,
): Promise<TrainingOutcome> {
  const engine = await components.training()
  if (engine === null) throw new EngineFailedError('every backend', 'none of this machine can train')
  const { gate, ...running } = options
  return await components.runTraining({ ...gathered, engine, gate, clock: components.clock }, plan, running)
}

/** The patch is what counts: when no samples can be written, it comes without. */
async function showDifference(
  components: CarryOutComponents,
  { plan }: Run,
  { model, on, examples, outcome }: Gathered & { readonly outcome: TrainingOutcome },
  options: CarryOutOptions,
): Promise<Sample[]> {
  const { gate, signal } = options
  await enter('sampling', options)
  try {
    await using writer = await openRunWriter(components, plan, model, signal)
    return await writeSamples(writer, {
      ...{ examples, on, gate, signal },
      tokenizer: await model.tokenizer(),
      contextLength: model.manifest.config.contextLength,
      seed: plan.hyperParameters.seed,
      patch: patchWeightsOf(outcome.content),
    })
  } catch (error) {
    signal.throwIfAborted()
    components.logger.warn({ error }, 'no samples could be written')
    return []
  }
}

async function keep(
  { identity, nodeName, library }: CarryOutComponents,
  plan: RunPlan,
  outcome: TrainingOutcome,
  signal: AbortSignal,
): Promise<KeptPatch> {
  const author = { peerId: identity.peerId, name: (await nodeName()).slice(0, 64) }
  const { valueFormat, includeFisher, sharedMask } = plan.request
  const written = await writePatch(outcome.content, describe(plan, outcome, author), {
    signer: identity,
    valueFormat,
    fisher: includeFisher,
    sharedMask: sharedMask !== null,
  })
  return await library.add(pieces([written.head, ...written.sections]), { where: 'mine', signal })
}

function describe(
  plan: RunPlan,
  { record, metrics }: TrainingOutcome,
  author: PatchDescription['author'],
): PatchDescription {
  const { request, base, createdAtMs, data } = plan
  const { title, description, licence, parents } = request
  return {
    ...{ title, description, licence, author, createdAtMs, data },
    base: { digest: base.digest, name: base.name.slice(0, 64) },
    parents: [...parents],
    origin: 'train',
    training: record,
    metrics: [...metrics],
  }
}

async function* pieces(all: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  yield* all
}
