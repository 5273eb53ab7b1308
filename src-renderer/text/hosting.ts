/** What the node gives now, in words: the pill in the status bar, the sentence on the dashboard, and the budget. */
import type { Budget, NoBudgetReason } from '#contracts/api/hardware.ts'
import type { HostingState, NodeStatus } from '#contracts/api/node.ts'
import { wordFailure } from './errors.ts'
import { formatBlocks, formatBytes, formatClock, formatCount, formatDateTime, formatPlural } from './format.ts'

/** A state has a shape as well as a colour: see `StateMark.svelte`. */
export type Tone = 'giving' | 'busy' | 'paused' | 'failed'
export type Pill = { readonly tone: Tone; readonly label: string }

const reasonInShort: Readonly<Record<NoBudgetReason, string>> = {
  'paused-by-owner': 'by you',
  'on-battery': 'on battery',
  'no-model': 'no model',
  'not-enough-memory': 'memory is short',
  'not-enough-disk': 'disk is short',
  'policy-gives-nothing': 'budget is zero',
}

export function hostingPill(hosting: HostingState): Pill {
  switch (hosting.kind) {
    case 'starting':
      return { tone: 'busy', label: 'Starting' }
    case 'measuring':
      return { tone: 'busy', label: `Measuring · ${hosting.done} of ${formatPlural(hosting.total, 'way')}` }
    case 'loading':
      if (hosting.again && hosting.blocksLoaded === 0) return { tone: 'busy', label: 'Starting the engine again' }
      return {
        tone: 'busy',
        label: `Loading · ${hosting.blocksLoaded} of ${formatPlural(hosting.blocksTotal, 'block')}`,
      }
    case 'hosting':
      return { tone: 'giving', label: `Giving · ${formatBlocks(hosting.span)}` }
    case 'paused':
      return { tone: 'paused', label: `Paused · ${reasonInShort[hosting.reason]}` }
    case 'failed':
      return { tone: 'failed', label: 'Not giving · failed' }
  }
}

/** What happened and how it ends; `neededBytes` and the limit come with the budget when memory is the reason. */
export function reasonInFull(reason: NoBudgetReason, budget: Budget | null): { why: string; next: string } {
  switch (reason) {
    case 'paused-by-owner':
      return { why: 'You paused this machine.', next: 'It gives again when you resume.' }
    case 'on-battery':
      return { why: 'The machine runs on battery.', next: 'It gives again when it is plugged in.' }
    case 'no-model':
      return { why: 'There is no model to host yet.', next: 'Import one with `quiltbee model import`.' }
    case 'not-enough-memory':
      return { why: memoryShortage(budget), next: 'Close other programs: it looks again by itself.' }
    case 'not-enough-disk':
      return { why: 'Too little disk is free beyond the reserve.', next: 'Free some space: it looks again by itself.' }
    case 'policy-gives-nothing':
      return { why: 'Your budget lends no memory or no threads.', next: 'Raise it to give.' }
  }
}

function memoryShortage(budget: Budget | null): string {
  if (budget?.kind !== 'nothing' || budget.neededBytes === null)
    return 'Too little memory may be used to hold one block.'
  return `One block and one session need ${formatBytes(budget.neededBytes)}; ${formatBytes(budget.memoryLimitBytes)} may be used.`
}

/** `until 16:05`, with the date when that is not today. */
export function untilWords(untilMs: number, nowMs: number): string {
  const far = untilMs - nowMs > 18 * 60 * 60 * 1000
  return `until ${far ? formatDateTime(untilMs) : formatClock(untilMs)}`
}

export type Headline = { readonly title: string; readonly detail: string }

/** The first thing the dashboard says. */
export function hostingHeadline(status: NodeStatus, nowMs: number): Headline {
  const { hosting } = status
  const model = status.model?.name ?? 'the model'
  switch (hosting.kind) {
    case 'starting':
      return { title: 'Getting ready', detail: 'Looking at the machine and at the model. This takes a few seconds.' }
    case 'measuring':
      return {
        title: 'Measuring what this machine computes with best',
        detail: `${formatCount(hosting.done)} of ${formatPlural(hosting.total, 'way', 'ways')} to run ${model} tried. This happens once and takes seconds; then its blocks are loaded.`,
      }
    case 'loading':
      if (hosting.again) return restartingHeadline(hosting)
      return {
        title: `Loading ${formatBlocks(hosting.span)} of ${model}`,
        detail: `${hosting.blocksLoaded} of ${formatPlural(hosting.blocksTotal, 'block')} are in memory. Peers can use them when all are.`,
      }
    case 'hosting':
      return { title: `You host ${formatBlocks(hosting.span)} of ${model}`, detail: hostingDetail(status, hosting) }
    case 'paused':
      return pausedHeadline(hosting, status.budget, nowMs)
    case 'failed': {
      const words = wordFailure(hosting)
      return { title: words.what, detail: `${words.why} ${words.next}` }
    }
  }
}

function restartingHeadline(hosting: Extract<HostingState, { kind: 'loading' }>): Headline {
  const { span, blocksLoaded, blocksTotal } = hosting
  return {
    title: `Loading ${formatBlocks(span)} again`,
    detail: `What computes them (the engine) broke, and sessions that ran through them ended. It is started again: ${blocksLoaded} of ${formatPlural(blocksTotal, 'block')} are back in memory.`,
  }
}

function hostingDetail(status: NodeStatus, hosting: Extract<HostingState, { kind: 'hosting' }>): string {
  const memory = `${formatBytes(hosting.memoryBytes)} of memory in use`
  if (hosting.sessions > 0) return `${formatPlural(hosting.sessions, 'session')} running through them now, ${memory}.`
  if (status.peers.length === 0) return `No peers in reach yet, ${memory}. You can already generate text in Chat.`
  return `Nobody uses them at the moment, ${memory}.`
}

function pausedHeadline(
  hosting: Extract<HostingState, { kind: 'paused' }>,
  budget: Budget | null,
  nowMs: number,
): Headline {
  const { why, next } = reasonInFull(hosting.reason, budget)
  if (hosting.untilMs === null) return { title: 'Paused', detail: `${why} ${next}` }
  return { title: `Paused ${untilWords(hosting.untilMs, nowMs)}`, detail: `${why} It gives again by itself.` }
}

/** `You lend 2 threads and up to 1.2 GiB of memory: room for 8 blocks and 4 sessions of up to 256 tokens.` */
export function budgetSentence(budget: Budget | null): string {
  if (budget === null) return 'What you lend is decided once the machine has been measured.'
  if (budget.kind === 'nothing') {
    const { why, next } = reasonInFull(budget.reason, budget)
    return budget.reason === 'paused-by-owner' ? `You lend nothing now. ${why}` : `You lend nothing now. ${why} ${next}`
  }
  const lent = `You lend ${formatPlural(budget.threads, 'thread')} and up to ${formatBytes(budget.memoryLimitBytes)} of memory`
  const room = `${formatPlural(budget.blocks, 'block')} and ${formatPlural(budget.sessions, 'session')}`
  return `${lent}: room for ${room} of up to ${formatCount(budget.maxLength)} tokens.`
}

/** What stands where the model will be. */
export function noModel(status: NodeStatus): Headline {
  if (status.hosting.kind === 'starting') {
    return {
      title: 'The model is being opened',
      detail: 'Its blocks appear in a few seconds, and you can generate text then.',
    }
  }
  const detail =
    'Its blocks appear, and text can be generated, once one is here. Import one with `quiltbee model import`.'
  return { title: 'No model here yet', detail }
}
