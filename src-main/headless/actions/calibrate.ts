import { createDataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { createSettingsStore } from '#adapters/files/settings-store.ts'
import type {
  Calibration,
  ChoiceReason,
  EngineChoice,
  EngineOverride,
  Measurement,
  MeasureProgress,
} from '#app/calibration.ts'
import { type AssembledCalibrator, assembleCalibrator, usualPolicy, usualThreads } from '#assembly/calibration.ts'
import { embeddedModelName, openModelStore } from '#assembly/model-store.ts'
import { formatBytes, formatTable, print, printJson } from '../output.ts'
import { cancellable } from './model-progress.ts'

export interface CalibrateOptions {
  readonly model?: string
  readonly threads?: number
  readonly profile?: string
  readonly json?: true
}

type Listing = ReturnType<AssembledCalibrator['listings']>[number]

interface Calibrated {
  readonly model: string
  readonly calibration: Calibration
  readonly choice: EngineChoice
  readonly override: EngineOverride | null
  readonly backends: readonly Listing[]
}

export async function calibrate(options: CalibrateOptions): Promise<void> {
  const directory = dataDirectory(options)
  createDataDirectory(directory)
  const calibrator = assembleCalibrator(directory)
  const settings = createSettingsStore({ file: directory.settingsFile, defaultPolicy: usualPolicy })
  const { policy } = await settings.read()
  const handle = await openModelStore(directory).open(options.model ?? embeddedModelName)
  try {
    const { name, config } = handle.manifest
    const threads = options.threads ?? usualThreads(policy)
    const chosen = await cancellable(async (signal) => {
      const request = { config, threads, signal, onProgress: showProgress }
      process.stderr.write('Looking for backends\n')
      await calibrator.measure(request)
      const memory = await calibrator.memory(policy)
      return await calibrator.choose({ ...request, memory, blocks: config.blockCount })
    })
    show({ model: name, ...chosen, backends: calibrator.listings() }, options.json === true)
  } finally {
    await handle.close()
  }
}

function showProgress({ backend, format, done, total }: MeasureProgress): void {
  process.stderr.write(`Measuring ${backend} ${format} (${done + 1} of ${total})\n`)
}

function show(calibrated: Calibrated, json: boolean): void {
  if (json) printJson(calibrated)
  else print(describe(calibrated))
}

function describe({ model, calibration, choice, override, backends }: Calibrated): string {
  const { shape, threads, measurements } = calibration
  const missing = backends.flatMap(missingRow)
  return [
    `One block of ${model} (${shape.hiddenSize}/${shape.intermediateSize}), ${threads} ${threads === 1 ? 'thread' : 'threads'}:`,
    '',
    formatTable([heading, ...measurements.map((measurement) => measuredRow(measurement, choice))]),
    ...(missing.length === 0 ? [] : ['', formatTable([['not available', 'because'], ...missing])]),
    '',
    describeChoice(choice, override),
  ].join('\n')
}

const heading = ['', 'backend', 'weights', 'decode', '8 at once', 'prefill', 'memory', 'error']

function measuredRow({ backend, format, outcome }: Measurement, choice: EngineChoice): string[] {
  const mark = choice.kind === 'chosen' && choice.backend === backend && choice.format === format ? '>' : ''
  if (outcome.kind === 'failed') return [mark, backend, format, `${outcome.reason}: ${outcome.detail}`]
  return [
    mark,
    backend,
    format,
    rate(outcome.decodeTokensPerSecond),
    rate(outcome.decodeBatch8TokensPerSecond),
    rate(outcome.prefillTokensPerSecond),
    formatBytes(outcome.weightBytes),
    outcome.relativeError.toPrecision(2),
  ]
}

function rate(tokensPerSecond: number): string {
  const rounded = tokensPerSecond >= 100 ? Math.round(tokensPerSecond) : Number(tokensPerSecond.toPrecision(3))
  return `${rounded} tokens/s`
}

function missingRow({ backend, availability }: Listing): string[][] {
  if (availability.kind === 'available') return []
  const details = Object.values(availability.params).map(String)
  return [[backend, [availability.reason.replaceAll('-', ' '), ...details].join(': ')]]
}

const reasons: Readonly<Record<ChoiceReason, string>> = {
  'owner-chose': 'the owner chose it',
  'owner-chose-backend': 'the owner chose the backend; this is the best of its formats',
  fastest: 'it decodes fastest of those that are exact enough and fit into memory',
  'as-fast-and-simpler': 'it is as fast as the fastest, and simpler',
  'only-one': 'it is the only one that is exact enough and fits into memory',
  memory: 'wider weights do not fit into memory',
  smallest: 'the whole model does not fit into memory, and it holds the most blocks',
}

function describeChoice(choice: EngineChoice, override: EngineOverride | null): string {
  const ignored =
    choice.overrideFailed && override !== null ? [`The owner's choice, ${override.backend}, does not work here.`] : []
  const said =
    choice.kind === 'chosen'
      ? `Picked ${choice.backend} with ${choice.format} weights: ${reasons[choice.why]}.`
      : choice.why === 'nothing-works'
        ? 'Nothing could be picked: no backend works.'
        : 'Nothing could be picked: no backend is exact enough.'
  return [...ignored, said].join('\n')
}
