/** Runs in words for a terminal. */
import type { RunDetail, RunProgress, RunState, RunSummary } from '#contracts/api/training.ts'
import { shortDigest } from '#contracts/digest.ts'
import type { Metric } from '#contracts/patch-file/header.ts'
import { describeFailure, formatBytes, formatTable } from './output.ts'
import { printable, short } from './patch-text.ts'

/** Enough of an id to name a run. */
export function shortId(id: string): string {
  return id.slice(0, 8)
}

const waits: Readonly<Record<Extract<RunState, { kind: 'waiting' }>['reason'], string>> = {
  'paused-by-owner': 'this machine is paused',
  'on-battery': 'it runs on battery',
  memory: 'memory is short',
  serving: 'blocks are being served',
  'another-run': 'another run is under way',
  'owner-active': 'a text is being made',
}

export function describeState(state: RunState): string {
  switch (state.kind) {
    case 'waiting':
      return `waiting: ${waits[state.reason]}`
    case 'running':
      return state.phase
    case 'failed':
      return `failed: ${describeFailure(state)}`
    case 'finished':
      return `finished${state.earlyStopped ? ' early' : ''}: patch ${shortDigest(state.patch)}`
    default:
      return state.kind
  }
}

export function describeProgress({ state, progress, curve }: RunDetail): string {
  const { kind } = state
  if (progress === null || kind === 'waiting') return describeState(state)
  const point = curve.at(-1)
  const measured = curve.findLast(({ heldOut }) => heldOut !== null)
  const { done, total, step, steps, tokensPerSecond, remainingSeconds } = progress
  const isTraining = progress.phase === 'training' && kind === 'running' && state.phase === 'training'
  const parts = isTraining
    ? [
        `training: step ${step} of ${steps}`,
        ...(point?.train == null ? [] : [`loss ${short(point.train)}`]),
        ...(measured?.heldOut == null ? [] : [`held out ${short(measured.heldOut)}`]),
        ...(tokensPerSecond === null ? [] : [`${Math.round(tokensPerSecond)} tokens/s`]),
        ...(remainingSeconds === null ? [] : [`${formatSeconds(remainingSeconds)} left`]),
      ]
    : [describeState(state) + (isOfPhase(state, progress) && total > 0 ? `: ${done} of ${total}` : '')]
  return parts.join(', ')
}

function isOfPhase(state: RunState, progress: RunProgress): boolean {
  return state.kind === 'running' && state.phase === progress.phase
}

export function formatSeconds(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`
  return `${short(seconds / 3600)} h`
}

export function tableOfRuns(runs: readonly RunSummary[]): string {
  const rows = runs.map((run) => [
    shortId(run.id),
    printable(run.title),
    run.base.name,
    run.method,
    run.progress === null ? '' : `${run.progress.step}/${run.progress.steps}`,
    describeState(run.state),
  ])
  return formatTable([['run', 'title', 'base', 'method', 'step', 'state'], ...rows])
}

export function describeRun(run: RunDetail): string {
  const { plan, progress, result } = run
  const { request, predicted } = plan
  const facts: [string, string][] = [
    ['run', run.id],
    ['title', printable(run.title)],
    ['state', describeProgress(run)],
    ['base', `${run.base.name} (${shortDigest(run.base.digest)})`],
    ['method', `${request.method}, ${plan.trainedParameters} numbers, ${plan.hyperParameters.steps} steps`],
    ['data', `${plan.data.trainingExamples} examples, ${plan.data.heldOutExamples} held out`],
    ['memory', formatBytes(predicted.memoryBytes)],
    ...(predicted.seconds === null ? [] : [['expected', formatSeconds(predicted.seconds)] as [string, string]]),
    ...(progress?.resumedFromStep == null
      ? []
      : [['resumed', `from step ${progress.resumedFromStep}`] as [string, string]]),
  ]
  return [formatTable(facts), ...(result === null ? [] : ['', describeResult(run)])].join('\n')
}

/** What came of a run that has finished. */
export function describeResult({ result, title }: RunDetail): string {
  if (result === null) return ''
  const { patch, patchBytes, metrics, samples, roundingLoss, seconds } = result
  return [
    `Made patch ${patch} (${printable(title)}), ${formatBytes(patchBytes)}, in ${formatSeconds(seconds)}.`,
    ...metrics.map(describeMetric),
    ...(roundingLoss === null ? [] : [`Rounding took ${short(Math.max(0, 100 * roundingLoss))} % of the gain.`]),
    ...samples.flatMap(({ prompt, before, after }) => [
      '',
      `  ${oneLine(prompt)}`,
      `  before: ${oneLine(before)}`,
      `  after:  ${oneLine(after)}`,
    ]),
  ].join('\n')
}

const metricNames: Readonly<Record<string, string>> = {
  'held-out-loss': 'Loss on held-out text',
  'held-out-accuracy': 'Right answers, held out',
  'base-text-loss': 'Loss on the base’s own text',
}

function describeMetric({ name, unit, before, after, gain, items }: Metric): string {
  const interval = `${short(gain.low)} to ${short(gain.high)}, 95 %`
  const change = `${short(before)} to ${short(after)} ${printable(unit)}, gain ${short(gain.mean)} (${interval})`
  return `${metricNames[name] ?? printable(name)}: ${change}, ${items} items.`
}

/** Line breaks become spaces. */
function oneLine(text: string): string {
  return printable(text.replace(/\s+/g, ' ').trim())
}
