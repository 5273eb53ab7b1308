/** Training in words: what a run does now and why, what its owner can do, and what came of it. */
import type { RunAction, RunDetail, RunPhase, RunProgress, RunState, RunSummary } from '#contracts/api/training.ts'
import type { Metric, TrainingMethod } from '#contracts/patch-file/header.ts'
import {
  displayText,
  formatCount,
  formatDuration,
  formatInterval,
  formatNumber,
  formatPlural,
  formatRate,
} from './format.ts'
import type { Tone } from './hosting.ts'

/** What a patch is, for someone who has never seen one. */
export const patchInWords =
  'A patch is a small change to a model: which of its numbers change, and by how much. Trained on a text of yours, it makes the model write more like that text. It is a file of its own; the model itself stays as it is.'

export type MethodWords = { readonly name: string; readonly plain: string; readonly help: string }

export const methodWords: Readonly<Record<TrainingMethod, MethodWords>> = {
  fish: {
    name: 'FISH mask',
    plain: 'Change the few numbers that matter most (FISH mask)',
    help: 'Finds the numbers of the model that your text depends on most (their Fisher information) and trains only those. Small files, most of the gain.',
  },
  ia3: {
    name: '(IA)³',
    plain: 'Turn the model’s signals up and down, (IA)³',
    help: 'Trains one factor for each signal inside a block. The smallest file by far, and the gentlest change.',
  },
  full: {
    name: 'Whole model',
    plain: 'Change everything (full fine-tuning)',
    help: 'Trains every number. Learns most and forgets most; the file is as large as the model, so this suits small models only.',
  },
  random: {
    name: 'Random mask',
    plain: 'Change numbers drawn at random (random mask)',
    help: 'A control for experiments.',
  },
  magnitude: {
    name: 'Magnitude mask',
    plain: 'Change the largest numbers (magnitude mask)',
    help: 'A control for experiments.',
  },
}

export const phaseWords: Readonly<Record<RunPhase, { readonly name: string; readonly doing: string }>> = {
  preparing: { name: 'Prepare', doing: 'Reading your text and loading the model' },
  measuring: { name: 'Measure the model', doing: 'Measuring how well the model knows the held-out text now' },
  choosing: { name: 'Choose numbers', doing: 'Finding the numbers that matter most (Fisher information)' },
  probing: { name: 'Try learning rates', doing: 'Trying some learning rates for a few steps each' },
  training: { name: 'Train', doing: 'Training' },
  evaluating: { name: 'Measure the patch', doing: 'Measuring the patch as it will be written' },
  sampling: { name: 'Write samples', doing: 'Writing texts before and after' },
  writing: { name: 'Write the file', doing: 'Writing the patch' },
}

/** What `done` of `total` counts in a phase. */
const phaseUnits: Partial<Record<RunPhase, readonly [string, string]>> = {
  measuring: ['example', 'examples'],
  choosing: ['example', 'examples'],
  probing: ['rate', 'rates'],
  training: ['step', 'steps'],
  evaluating: ['example', 'examples'],
  sampling: ['text', 'texts'],
}

type Waiting = Extract<RunState, { kind: 'waiting' }>

const waitWords: Readonly<Record<Waiting['reason'], { readonly title: string; readonly detail: string }>> = {
  'paused-by-owner': { title: 'Waiting: this machine is paused', detail: 'Goes on when you resume.' },
  'on-battery': { title: 'Waiting: on battery', detail: 'Goes on when plugged in.' },
  memory: {
    title: 'Waiting: not enough free memory',
    detail: 'Goes on when other programs give some back, or the budget is raised.',
  },
  serving: {
    title: 'Waiting: peers are being served',
    detail: 'Serving comes first. Goes on when there is time between.',
  },
  'another-run': { title: 'Waiting: another run comes first', detail: 'Runs are done one after the other.' },
  'owner-active': { title: 'Waiting: you are using this machine', detail: 'Goes on when you are away.' },
}

export type RunHeadline = { readonly tone: Tone; readonly title: string; readonly detail: string }

export function runHeadline({ state, progress }: Pick<RunSummary, 'state' | 'progress'>): RunHeadline {
  switch (state.kind) {
    case 'waiting':
      return { tone: 'busy', ...waitWords[state.reason] }
    case 'running':
      return { tone: 'giving', title: phaseWords[state.phase].doing, detail: progressInWords(progress) }
    case 'paused':
      return {
        tone: 'paused',
        title: `Paused by you${atStep(progress)}`,
        detail: 'What was trained is kept until you resume.',
      }
    case 'stopped':
      return {
        tone: 'paused',
        title: `Stopped by you${atStep(progress)}`,
        detail: 'No patch was made. What was trained is kept until you remove the run: it can go on, or be finished.',
      }
    case 'failed':
      return { tone: 'failed', title: `Failed${atStep(progress)}`, detail: '' }
    case 'finished':
      return {
        tone: 'giving',
        title: 'Finished',
        detail: state.earlyStopped
          ? 'It ended early: the held-out loss no longer fell. The patch has the numbers of the best step.'
          : 'The patch is made.',
      }
  }
}

/** `Training: step 120 of 400`, for a row of the list. */
export function runInShort({ state, progress }: Pick<RunSummary, 'state' | 'progress'>): string {
  const { title } = runHeadline({ state, progress })
  if (state.kind !== 'running' || progress === null || state.phase !== 'training') return title
  return `${title}: step ${formatCount(progress.step)} of ${formatCount(progress.steps)}`
}

function atStep(progress: RunProgress | null): string {
  return progress === null || progress.step === 0
    ? ''
    : ` at step ${formatCount(progress.step)} of ${formatCount(progress.steps)}`
}

/** `120 of 400 steps, 812 tokens/s, about 3 min 20 s still.` */
export function progressInWords(progress: RunProgress | null): string {
  if (progress === null) return 'It starts now.'
  const [, units] = phaseUnits[progress.phase] ?? ['', '']
  const parts = [
    progress.total > 0 && units !== ''
      ? `${formatCount(progress.done)} of ${formatCount(progress.total)} ${units}`
      : '',
    progress.tokensPerSecond === null ? '' : formatRate(progress.tokensPerSecond),
    progress.remainingSeconds === null ? '' : `about ${formatRemaining(progress.remainingSeconds)} still`,
  ].filter((part) => part !== '')
  return parts.length === 0 ? 'This takes a moment.' : `${parts.join(', ')}.`
}

/** Rounded as far as a guess deserves. */
export function formatRemaining(seconds: number): string {
  const step = seconds < 60 ? 5 : seconds < 3_600 ? 30 : 300
  return formatDuration(Math.max(step, Math.round(seconds / step) * step) * 1000)
}

export function resumedNote(progress: RunProgress | null): string | null {
  const step = progress?.resumedFromStep ?? null
  return step === null
    ? null
    : `Quiltbee had ended in between. Training went on from the checkpoint at step ${formatCount(step)}; nothing before it was lost.`
}

export const actionWords: Readonly<Record<RunAction, { readonly name: string; readonly doing: string }>> = {
  pause: { name: 'Pause', doing: 'Pausing' },
  resume: { name: 'Resume', doing: 'Resuming' },
  finish: { name: 'Finish now', doing: 'Finishing' },
  stop: { name: 'Stop', doing: 'Stopping' },
  remove: { name: 'Remove', doing: 'Removing' },
}

export type Question = { readonly title: string; readonly detail: string; readonly yes: string; readonly no: string }

/** What is asked before something that cannot be taken back. */
export const actionQuestions: Partial<Record<RunAction, Question>> = {
  stop: {
    title: 'Stop this run?',
    detail:
      'No patch is made. What was trained is kept until you remove the run, so it can go on later. To get a patch of it now, choose Finish now instead.',
    yes: 'Stop the run',
    no: 'Let it run',
  },
  remove: {
    title: 'Remove this run?',
    detail:
      'Its checkpoints and curves are deleted. A patch it has made stays on the Patches screen. This cannot be undone.',
    yes: 'Remove the run',
    no: 'Keep it',
  },
}

export type MetricWords = { readonly title: string; readonly value: string; readonly sentence: string }

const nameless = (name: string): string =>
  displayText(name)
    .replace(/-/g, ' ')
    .replace(/^./, (first) => first.toUpperCase())

/** `nats/token` to `nats a token`; other units as their author writes them. */
const unitInWords = (unit: string): string => displayText(unit, 32).replace('/', ' a ')

/** A measure before and after, in plain words and with its interval. */
export function metricInWords(metric: Metric): MetricWords {
  const { gain } = metric
  const fromTo = `${formatNumber(metric.before)} before, ${formatNumber(metric.after)} after`
  switch (metric.name) {
    case 'held-out-loss':
      return heldOutLoss(metric, fromTo)
    case 'base-text-loss':
      return baseTextLoss(metric, fromTo)
    case 'held-out-accuracy':
      return {
        title: 'Right answers on questions it has not seen',
        value: `${percent(metric.before)} before, ${percent(metric.after)} after`,
        sentence: `A gain of ${formatNumber(gain.mean * 100)} points (${formatNumber(gain.low * 100)} to ${formatNumber(gain.high * 100)}), on ${formatPlural(metric.items, 'question')}.`,
      }
    default:
      return {
        title: nameless(metric.name),
        value: `${formatInterval(gain)} ${unitInWords(metric.unit)}`,
        sentence: `${fromTo}, on ${formatPlural(metric.items, 'item')}.`,
      }
  }
}

/** Zero lies within the interval: chance alone could have done it. */
function isUnsure({ low, high }: Metric['gain']): boolean {
  return low <= 0 && high >= 0
}

function heldOutLoss({ gain, unit, items }: Metric, fromTo: string): MetricWords {
  const on = `on ${formatPlural(items, 'held-out example')}`
  const meaning =
    unit === 'nats/token'
      ? ` On average each right token became ${timesAsLikely(gain)} times as likely, measured ${on}.`
      : ` Measured ${on}.`
  return {
    title: 'On text it has not seen',
    value: `${gain.mean < 0 ? 'Worse' : 'Better'} by ${formatInterval(absolute(gain))} ${unitInWords(unit)}`,
    sentence: isUnsure(gain)
      ? `Loss ${fromTo}: no difference that could be told from chance, ${on}.`
      : `Loss ${fromTo}.${meaning}`,
  }
}

function baseTextLoss({ gain, unit }: Metric, fromTo: string): MetricWords {
  const remedy = gain.mean < 0 && !isUnsure(gain) ? '; protecting what the model knows makes this smaller' : ''
  return {
    title: 'On the model’s own kind of text',
    value: isUnsure(gain)
      ? 'Nothing forgotten that could be told from chance'
      : `${gain.mean < 0 ? 'Forgot' : 'Better'}: ${formatInterval(absolute(gain))} ${unitInWords(unit)}`,
    sentence: `Loss ${fromTo}. On average each right token is now ${timesAsLikely(gain)} times as likely as before${remedy}.`,
  }
}

/** A loss in nats that falls by g makes the right token e^g times as likely. */
function timesAsLikely(gain: Metric['gain']): string {
  return formatNumber(Math.exp(gain.mean))
}

function absolute({ mean, low, high }: Metric['gain']): Metric['gain'] {
  return mean < 0 ? { mean: -mean, low: -high, high: -low } : { mean, low, high }
}

function percent(share: number): string {
  return `${formatNumber(share * 100)} %`
}

export const intervalNote = 'In brackets: the range that holds the true value in 95 of 100 cases (confidence interval).'

export const lossNote =
  'Loss is how surprised the model is by the next token, on average (in nats); lower is better. Held-out text was set aside and is never trained on: where its line rises while the other falls, the model learns by heart.'

export function probesInWords(probes: RunDetail['probes'], chosen: number | null): string {
  if (probes.length === 0) return 'The learning rate was given; none was tried.'
  const tried = formatPlural(probes.length, 'learning rate')
  return chosen === null ? `${tried} tried so far.` : `${tried} tried; training goes on with the best.`
}
