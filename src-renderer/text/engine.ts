/** What computes the model, in words: its name, its speed as a reader feels it, why it is used, and why others are not. */
import type {
  EngineAvailability,
  EngineBackend,
  EngineMeasureEvent,
  EngineMeasurement,
  EngineOverview,
  EngineWish,
} from '#contracts/api/engine.ts'
import type { EngineInUse, NodeStatus } from '#contracts/api/node.ts'
import { displayText, formatAgo, formatBytes, formatCount, formatPlural, formatRate, isShowable } from './format.ts'

export type WeightFormat = EngineInUse['format']
type Measured = Extract<EngineMeasurement['outcome'], { kind: 'measured' }>

const names: ReadonlyMap<string, string> = new Map([
  ['onnxruntime-cpu', 'ONNX Runtime'],
  ['onnxruntime-cuda', 'ONNX Runtime with CUDA'],
  ['onnxruntime-directml', 'ONNX Runtime with DirectML'],
  ['onnxruntime-coreml', 'ONNX Runtime with Core ML'],
  ['onnxruntime-webgpu', 'ONNX Runtime with WebGPU'],
  ['tfjs-cuda', 'TensorFlow.js with CUDA'],
  ['tfjs-node', 'TensorFlow.js with native code'],
  ['tfjs-wasm', 'TensorFlow.js in WebAssembly'],
])

export function engineName(backend: string): string {
  return names.get(backend) ?? displayText(backend)
}

export const deviceWords: Readonly<Record<EngineBackend['device'], string>> = {
  cpu: 'the processor',
  gpu: 'the graphics card',
}

export const formatWords: Readonly<Record<WeightFormat, string>> = {
  float32: 'exact weights (float32)',
  float16: '16-bit weights (float16)',
  int8: '8-bit weights (int8)',
  int4: '4-bit weights (int4)',
}

/** `ONNX Runtime on the processor, 8-bit weights (int8)`. The device is left out while it is not known. */
export function engineInWords({ backend, format }: EngineInUse, overview: EngineOverview | null): string {
  const device = overview?.backends.find((one) => one.backend === backend)?.device
  const place = device === undefined ? '' : ` on ${deviceWords[device]}`
  return `${engineName(backend)}${place}, ${formatWords[format]}`
}

/** Why this one is used. */
export function whyInWords({ why }: EngineInUse, overview: EngineOverview | null): string {
  switch (why) {
    case 'small-model':
      return 'The model is small: it fits with exact weights, and is fast anyway.'
    case 'asked-for':
      return 'The format was asked for when this node was started (`--weights`).'
    case 'owner-chose':
      return 'You chose it.'
    case 'owner-chose-backend':
      return 'You chose the engine; this is the fastest of its formats that is exact enough.'
    case 'fastest':
      return `It is the fastest ${ofMeasured(overview)} that is exact enough and fits into memory.${narrowerIsFaster(overview)}`
    case 'as-fast-and-simpler':
      return 'It is as fast as the fastest measured here, and simpler, so less can go wrong.'
    case 'only-one':
      return 'It is the only one measured here that is exact enough and fits into memory.'
    case 'memory':
      return 'Four bits cost some quality, but the model does not fit into the memory you lend with more.'
    case 'smallest':
      return 'The whole model does not fit into the memory you lend; this way the most blocks do.'
  }
}

function ofMeasured(overview: EngineOverview | null): string {
  const tried = overview === null ? 0 : figuresOf(overview).length
  return tried > 1 ? `of the ${formatCount(tried)} ways measured here` : 'measured here'
}

/** Whoever compares the figures wonders. */
function narrowerIsFaster(overview: EngineOverview | null): string {
  const fastest = overview === null ? undefined : figuresOf(overview).toSorted((a, b) => b.speed - a.speed)[0]
  return fastest?.format === 'int4' ? ' Four bits are only used when memory is short: they cost quality.' : ''
}

function figuresOf({ backends }: EngineOverview): readonly { format: WeightFormat; speed: number }[] {
  return backends
    .flatMap(({ measurements }) => measurements)
    .flatMap(({ format, outcome }) =>
      outcome.kind === 'measured' ? [{ format, speed: outcome.decodeTokensPerSecond }] : [],
    )
}

/** What was measured of the engine in use; null when nothing was. */
export function measuredInUse(engine: EngineInUse | null, overview: EngineOverview | null): Measured | null {
  if (engine === null || overview === null) return null
  const own = overview.backends.find(({ backend }) => backend === engine.backend)
  const outcome = own?.measurements.find(({ format }) => format === engine.format)?.outcome
  return outcome?.kind === 'measured' ? outcome : null
}

/** English text has about three words to four tokens; adults read it at about four words a second (Brysbaert 2019). */
const wordsPerToken = 0.75
const readingWordsPerSecond = 4

/** `Up to 41.3 tokens/s for one text: about 31 words a second, faster than you read.` */
export function speedInWords(tokensPerSecond: number, blockCount: number): string {
  const words = tokensPerSecond * wordsPerToken
  const spoken = words < 1 ? 'less than one word a second' : `about ${formatPlural(Math.round(words), 'word')} a second`
  const rate = `Up to ${formatRate(tokensPerSecond)} through ${blockCount === 1 ? 'its one block' : `all ${formatCount(blockCount)} blocks`}`
  return `${rate}: ${spoken}, ${comparedWithReading(words)}.`
}

function comparedWithReading(wordsPerSecond: number): string {
  if (!isShowable(wordsPerSecond) || wordsPerSecond < readingWordsPerSecond / 2) return 'slower than people read'
  return wordsPerSecond <= readingWordsPerSecond * 2 ? 'about as fast as people read' : 'faster than people read'
}

export type EngineCardWords = { readonly title: string; readonly lines: readonly string[] }

/** The whole card. `overview` is null until it is here, or when it cannot be had. */
export function engineCard(status: NodeStatus, overview: EngineOverview | null): EngineCardWords {
  const { hosting, engine } = status
  if (hosting.kind === 'measuring') {
    const lines = ['Each is tried for a second or so. The fastest that is exact enough will be used.']
    return { title: 'Measuring what this machine computes with', lines }
  }
  if (engine === null) {
    return { title: 'Not decided yet', lines: ['It is chosen when this machine starts to give.'] }
  }
  const title = engineInWords(engine, overview)
  if (hosting.kind === 'loading' && hosting.again) {
    return {
      title,
      lines: [
        'It broke, and is being started again. Texts that ran through it go on where others hold the same blocks.',
      ],
    }
  }
  if (hosting.kind === 'failed' && hosting.code === 'engine-failed') {
    return { title, lines: ['It keeps failing. It is tried again every minute; you can also use another one.'] }
  }
  const measured = measuredInUse(engine, overview)
  const speed = measured === null ? [] : [speedInWords(measured.decodeTokensPerSecond, overview?.blockCount ?? 1)]
  return { title, lines: [...speed, whyInWords(engine, overview), ...unmetWish(engine, overview)] }
}

/** What the owner wants and does not get. */
function unmetWish({ why }: EngineInUse, overview: EngineOverview | null): string[] {
  const wish = overview?.override
  if (wish === null || wish === undefined || why === 'owner-chose' || why === 'owner-chose-backend') return []
  if (why === 'asked-for')
    return [`Your choice, ${wishInWords(wish)}, counts again when the node starts without \`--weights\`.`]
  return [`Your choice, ${wishInWords(wish)}, does not work here.`]
}

export function wishInWords({ backend, format }: EngineWish): string {
  return format === null ? engineName(backend) : `${engineName(backend)} with ${formatWords[format]}`
}

/** What a runtime said is worth two lines: people search for it. */
const longestQuote = 160

function param(params: Extract<EngineAvailability, { kind: 'unavailable' }>['params'], name: string): string | null {
  const value = params[name]
  const shown = typeof value === 'string' ? displayText(value, longestQuote) : ''
  return shown === '' ? null : shown
}

const platforms: ReadonlyMap<string, string> = new Map([
  ['linux', 'Linux'],
  ['darwin', 'macOS'],
  ['win32', 'Windows'],
])

/** Why an engine cannot be used here; null when it can. */
export function unavailableInWords(availability: EngineAvailability): string | null {
  if (availability.kind === 'available') return null
  if (availability.kind === 'untried') return 'Not tried since your node started.'
  const { reason, params } = availability
  const detail = param(params, 'detail')
  const quoted = detail === null ? '' : ` It said: ${detail}`
  switch (reason) {
    case 'wrong-platform': {
      const platform = param(params, 'platform')
      return `It is made for other systems than ${platform === null ? 'this one' : (platforms.get(platform) ?? platform)}.`
    }
    case 'not-installed': {
      const name = param(params, 'package')
      return name === null
        ? `A part of it is not installed.${quoted}`
        : `The optional package ${name} is not installed.`
    }
    case 'driver-missing':
      return `No device or driver that it can use was found.${quoted}`
    case 'probe-failed':
      return `${triedHow.get(param(params, 'how') ?? '') ?? 'It was tried, and failed.'}${quoted}`
  }
}

const triedHow: ReadonlyMap<string, string> = new Map([
  ['crashed', 'It was tried, and crashed.'],
  ['timed-out', 'It was tried, and did not answer in time.'],
  ['wrong-results', 'It was tried, and its results were wrong.'],
  ['untried', 'It could not be tried safely here.'],
])

/** Why there are no figures for one way to hold the weights. */
export function failedInWords({ reason, detail }: Extract<EngineMeasurement['outcome'], { kind: 'failed' }>): string {
  const said = displayText(detail, longestQuote)
  switch (reason) {
    case 'not-enough-memory':
      return 'Not measured: one block did not fit into the free memory.'
    case 'wrong-results':
      return 'Its results were wrong.'
    case 'failed':
      return said === '' ? 'It failed.' : `It failed. It said: ${said}`
  }
}

export type EngineRow = {
  readonly key: string
  readonly name: string
  /** `on the processor`. */
  readonly device: string
  readonly weights: string
  readonly inUse: boolean
  /** Null: see `note`. */
  readonly figures: { one: string; eight: string; prompt: string; memory: string } | null
  /** Empty when there is nothing to say. */
  readonly note: string
}

/** What was measured, the fastest first, and what could not be at the end. */
export function measurementRows({ backends }: EngineOverview, inUse: EngineInUse | null): readonly EngineRow[] {
  return backends
    .flatMap((backend) => backend.measurements.map((measurement) => ({ backend, measurement })))
    .toSorted((a, b) => speedOf(b.measurement) - speedOf(a.measurement))
    .map(({ backend, measurement }) => rowOf(backend, measurement, inUse))
}

function speedOf({ outcome }: EngineMeasurement): number {
  return outcome.kind === 'measured' ? outcome.decodeTokensPerSecond : 0
}

function rowOf(
  { backend, device }: EngineBackend,
  { format, outcome }: EngineMeasurement,
  inUse: EngineInUse | null,
): EngineRow {
  const row = {
    key: `${backend} ${format}`,
    name: engineName(backend),
    device: `on ${deviceWords[device]}`,
    weights: format,
    inUse: inUse?.backend === backend && inUse.format === format,
  }
  if (outcome.kind === 'failed') return { ...row, figures: null, note: failedInWords(outcome) }
  return {
    ...row,
    figures: {
      one: formatRate(outcome.decodeTokensPerSecond),
      eight: formatRate(outcome.decodeBatch8TokensPerSecond),
      prompt: formatRate(outcome.prefillTokensPerSecond),
      memory: formatBytes(outcome.weightBytes),
    },
    note: outcome.exactEnough ? '' : 'Not exact enough: never picked by itself.',
  }
}

export type MissingEngine = { readonly backend: string; readonly name: string; readonly why: string }

export function missingEngines({ backends }: EngineOverview): readonly MissingEngine[] {
  return backends.flatMap(({ backend, availability }) => {
    const why = unavailableInWords(availability)
    return why === null ? [] : [{ backend, name: engineName(backend), why }]
  })
}

export type WishGroup = {
  readonly name: string
  readonly options: readonly { readonly value: string; readonly label: string; readonly wish: EngineWish }[]
}

/** What can be chosen by hand: each engine that works here, and each of its formats. */
export function wishGroups({ backends, override }: EngineOverview): readonly WishGroup[] {
  return backends
    .filter(({ backend, availability }) => availability.kind === 'available' || override?.backend === backend)
    .map(({ backend, formats }) => ({
      name: engineName(backend),
      options: [null, ...formats].map((format) => ({
        value: wishValue({ backend, format }),
        label:
          format === null ? `${engineName(backend)}, best format` : `${engineName(backend)}, ${formatWords[format]}`,
        wish: { backend, format },
      })),
    }))
}

/** A wish as the value of an option; empty for none. */
export function wishValue(wish: EngineWish | null): string {
  return wish === null ? '' : `${wish.backend} ${wish.format ?? ''}`.trim()
}

/** What the figures are of. */
export function measuredIntro({ model, threads, measuredAtMs }: EngineOverview, nowMs: number): string {
  const what = 'An engine (backend) is what computes the model’s blocks.'
  const how = `${displayText(model)} on ${formatPlural(threads, 'thread')}`
  if (measuredAtMs === null) return `${what} None has been measured for ${how} yet.`
  return `${what} These were measured for ${how}, ${formatAgo(measuredAtMs, nowMs)}. The figures are for all of its blocks on this machine, at best.`
}

/** What is being done now. */
export function measuringInWords(event: Extract<EngineMeasureEvent, { type: 'looking' | 'progress' }>): string {
  if (event.type === 'looking') return 'Finding out which engines work here'
  const { backend, format, done, total } = event
  return `${formatCount(done + 1)} of ${formatCount(total)}: ${engineName(backend)}, ${formatWords[format]}`
}

/** What follows from a choice. */
export function choiceInWords(wish: EngineWish | null): string {
  if (wish === null) return 'What was measured decides again.'
  return `${wishInWords(wish)} is used from now on, if it works here.`
}
