/** From what the owner wants to a plan: the data is read, the machine looked at, names are looked up; deciding is `makePlan`. */
import type { RunPlan, TrainRequest } from '#contracts/api/training.ts'
import type { Digest } from '#contracts/digest.ts'
import { codeOf } from '#contracts/errors.ts'
import { WrongBaseError } from '#contracts/patch-file/errors.ts'
import type { PatchHeader } from '#contracts/patch-file/header.ts'
import { PatchNotFoundError } from '#core/errors.ts'
import type { DataSource } from '#core/ports/data-source.ts'
import type { ModelHandle, ModelStore } from '#core/ports/model-store.ts'
import type { KeptPatch, PatchLibrary } from '#core/ports/patch-library.ts'
import type { RunStore } from '#core/ports/run-store.ts'
import { defaultSequenceLength, makePlan } from '#core/training/make-plan.ts'
import type { PlanInput } from '#core/training/plan-types.ts'
import { operationsPerSecond } from '#core/training/predict-seconds.ts'
import { readData } from './read-data.ts'

export interface PlanRunComponents {
  readonly data: Pick<DataSource, 'open'>
  readonly library: Pick<PatchLibrary, 'get' | 'withMask'>
  readonly models: Pick<ModelStore, 'open'>
  readonly store: Pick<RunStore, 'list'>
  /** What runs may have of this machine. */
  readonly machine: () => Promise<MachineForRuns>
  /** The date patches bear: now, or what the environment says for files that come out the same. */
  readonly dateMs: () => number
}

export interface MachineForRuns {
  readonly threads: number
  readonly memoryLimitBytes: number | null
  /** Of training, while no run has measured it; not known when left out. */
  readonly assumedOperationsPerSecond?: number
}

/**
 * Starts nothing. Throws what reading the data throws, `ModelNotFoundError`, `PatchNotFoundError` for a parent or a mask that
 * is not here, `WrongBaseError` for one of another model.
 */
export async function planRun(
  components: PlanRunComponents,
  wanted: TrainRequest & { readonly model: string },
  signal?: AbortSignal,
): Promise<RunPlan> {
  const model = await components.models.open(wanted.model)
  try {
    const { manifest } = model
    const request = { ...wanted, sharedMask: await maskDigestOf(components.library, wanted.sharedMask) }
    for (const parent of request.parents) await expectParent(components.library, parent, manifest.digest)
    const { card, objective, preview } = await readData(components.data, model, request.data, {
      sequenceLength: request.hyperParameters.sequenceLength ?? defaultSequenceLength(manifest.config),
      description: request.dataDescription,
      licence: request.dataLicence,
      signal,
    })
    return makePlan({
      request,
      base: manifest,
      objective,
      data: card,
      warnings: preview.warnings,
      sharedMask: await sharedTensors(components.library, request.sharedMask, manifest.digest),
      machine: await speedOf(components, model),
      createdAtMs: components.dateMs(),
    })
  } finally {
    await model.close()
  }
}

async function speedOf(components: PlanRunComponents, model: ModelHandle): Promise<PlanInput['machine']> {
  const { assumedOperationsPerSecond = null, ...machine } = await components.machine()
  return { ...machine, operationsPerSecond: (await measuredSpeed(components, model)) ?? assumedOperationsPerSecond }
}

/** A mask goes by its own digest; that of a patch which has it is understood, too. */
async function maskDigestOf(library: PlanRunComponents['library'], name: Digest | null): Promise<Digest | null> {
  if (name === null || (await library.withMask(name)) !== null) return name
  const { header } = await library.get(name)
  if (header.maskDigest === null) throw new PatchNotFoundError(`with mask ${name}`)
  return header.maskDigest
}

async function expectParent(library: PlanRunComponents['library'], parent: Digest, base: Digest): Promise<void> {
  const patch = await library.get(parent)
  if (!patch.complete) throw new PatchNotFoundError(parent)
  expectBase(patch, base)
}

function expectBase({ header }: Pick<KeptPatch, 'header'>, base: Digest): void {
  if (header.base.digest !== base) throw new WrongBaseError(base, header.base.digest)
}

async function sharedTensors(
  library: PlanRunComponents['library'],
  mask: Digest | null,
  base: Digest,
): Promise<PlanInput['sharedMask']> {
  if (mask === null) return null
  const holder = await library.withMask(mask)
  if (holder === null) throw new PatchNotFoundError(`with mask ${mask}`)
  expectBase(holder, base)
  return holder.header.sections.flatMap(deltaOf)
}

function deltaOf(section: PatchHeader['sections'][number]) {
  return section.kind === 'delta' ? [{ tensor: section.tensor, entries: section.entries }] : []
}

/** As the newest run that trained found it; null before the first one, or when its model is gone. */
async function measuredSpeed({ store, models }: PlanRunComponents, model: ModelHandle): Promise<number | null> {
  const trained = (await store.list()).find(({ progress }) => progress?.tokensPerSecond)
  const tokensPerSecond = trained?.progress?.tokensPerSecond
  if (!trained || !tokensPerSecond) return null
  const { base, request } = trained.plan
  const config = base.digest === model.manifest.digest ? model.manifest.config : await configOf(models, base.digest)
  return config && operationsPerSecond(request.method, config, tokensPerSecond)
}

async function configOf(models: PlanRunComponents['models'], digest: Digest) {
  try {
    const model = await models.open(digest)
    await model.close()
    return model.manifest.config
  } catch (error) {
    if (codeOf(error) === 'model-not-found') return null
    throw error
  }
}
