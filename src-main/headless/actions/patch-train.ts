import { access } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { dataDirectory } from '#adapters/files/data-directory.ts'
import { type TrainInput, type TrainRequest, trainRequestSchema } from '#contracts/api/training.ts'
import type { Digest } from '#contracts/digest.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { type MaskChoice, type TrainingMethod, usualFisher, type ValueFormat } from '#contracts/patch-file/header.ts'
import { openTrainingService, type TrainingService } from '../training-service.ts'
import { cancellable } from './model-progress.ts'
import { type FollowOptions, followRun } from './run-follow.ts'

export interface TrainOptions extends FollowOptions {
  readonly data: readonly string[]
  readonly model?: string
  readonly method: TrainingMethod
  readonly keepRatio?: number
  readonly quota?: MaskChoice['quota']
  readonly scope?: MaskChoice['scope']
  readonly head?: MaskChoice['head']
  readonly fisher?: 'empirical' | 'true'
  readonly fisherExamples?: number
  readonly trialSteps?: number
  readonly sharedMask?: string
  readonly on: readonly string[]
  readonly steps?: number
  readonly learningRate?: number
  readonly batchSize?: number
  readonly sequenceLength?: number
  readonly seed?: number
  readonly patience?: number
  readonly minutes?: number
  readonly protect?: readonly string[]
  readonly protectShare: number
  readonly title?: string
  readonly description: string
  readonly licence: string
  readonly dataDescription: string
  readonly dataLicence: string
  readonly values: ValueFormat
  readonly includeFisher?: true
  readonly out?: string
  readonly profile?: string
}

export async function trainPatch(options: TrainOptions): Promise<void> {
  const request = readRequest(options)
  const out = options.out === undefined ? null : resolve(options.out)
  if (out !== null) await expectFree(out)
  await using service = await openTrainingService(dataDirectory(options))
  process.exitCode = await cancellable(async (signal) => {
    const { id } = await service.start(request, signal)
    const { run, code } = await followRun(service, id, options, signal)
    if (run?.state.kind === 'finished' && out !== null) await save(service, run.state.patch, out)
    return code
  })
}

async function save(service: TrainingService, patch: Digest, out: string): Promise<void> {
  await service.save(patch, out)
  process.stderr.write(`Written to ${out}.\n`)
}

/** Before hours of training, not after. */
async function expectFree(path: string): Promise<void> {
  const isThere = await access(path).then(
    () => true,
    () => false,
  )
  if (isThere) throw new InvalidInputError('--out', `${path} is there already`)
}

function readRequest(options: TrainOptions): TrainRequest {
  const parsed = trainRequestSchema.safeParse(requestOf(options))
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new InvalidInputError(`--${optionOf(issue?.path ?? [])}`, issue?.message ?? 'not usable')
}

/** `hyperParameters.batchSize` is `--batch-size`. */
function optionOf(path: readonly PropertyKey[]): string {
  const name = path.filter((part) => typeof part === 'string').at(-1) ?? 'data'
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function requestOf(options: TrainOptions): TrainInput {
  const { data, model, method, sharedMask, on, title, description, licence, dataDescription, dataLicence } = options
  return {
    ...{ method, description, licence, dataDescription, dataLicence },
    model: model ?? null,
    data: data.map(asFile),
    title: title ?? basename(data[0] ?? 'patch').slice(0, 80),
    mask: maskOf(options),
    sharedMask: sharedMask === undefined ? null : (sharedMask as Digest),
    hyperParameters: hyperParametersOf(options),
    parents: on as Digest[],
    protection: protectionOf(options),
    ...(options.patience !== undefined && { patience: options.patience === 0 ? null : options.patience }),
    valueFormat: options.values,
    includeFisher: options.includeFisher === true,
    limits: { minutes: options.minutes ?? null },
  }
}

function asFile(path: string) {
  return { kind: 'path' as const, path: resolve(path) }
}

function maskOf(options: TrainOptions): TrainInput['mask'] {
  const { keepRatio, quota, scope, head, fisher: kind, fisherExamples: examples, trialSteps } = options
  const isFisherGiven = kind !== undefined || examples !== undefined || trialSteps !== undefined
  const fisher = isFisherGiven ? { ...usualFisher, ...defined({ kind, examples, trialSteps }) } : undefined
  return defined({ keepRatio, quota, scope, head, fisher })
}

function hyperParametersOf(options: TrainOptions): TrainInput['hyperParameters'] {
  const { steps, learningRate, batchSize, sequenceLength, seed } = options
  return defined({ steps, learningRate, batchSize, sequenceLength, seed })
}

function protectionOf({
  protect = ['none'],
  protectShare: share,
}: TrainOptions): NonNullable<TrainInput['protection']> {
  const [kind] = protect
  if (protect.length === 1 && kind === 'none') return { kind: 'none' }
  if (protect.length === 1 && kind === 'own-text') return { kind: 'own-text', share }
  return { kind: 'files', share, files: protect.map(asFile) }
}

type Defined<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> }

/** Without what was left out. */
function defined<T extends object>(values: T): Defined<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>
}
