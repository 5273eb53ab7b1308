/** Generation in words: phases, endings, the route and what it means for privacy. */
import type { Hop, HopReport } from '#contracts/api/chat.ts'
import type { ChatRun, EndReason, RouteTaken } from '../state/chat-run.ts'
import { displayPeer, formatBlocks, formatPlural } from './format.ts'

export const privacyNote =
  'Peers on the route receive the numbers your text becomes on its way through the model (hidden states), and much of the text can be worked out from them. Send nothing through peers that they must not know.'

export const continuationNote =
  'This model continues text; it does not answer questions (it is a base model). Give it a beginning and it writes on.'

function endInWords(run: ChatRun, reason: EndReason): string {
  if (reason === 'end-token') return 'Finished: the model ended the text'
  if (reason === 'stop-string') return 'Finished: it reached a text to stop at'
  if (run.tokens < run.maxTokens) return 'Finished: the text is as long as the model can hold'
  return 'Finished: it reached the length you asked for'
}

export function phaseInWords(run: ChatRun): string {
  switch (run.phase) {
    case 'queued':
      return 'Waits for the text without patches'
    case 'waiting':
      return run.routes.length === 0 ? 'Looking for a route through the blocks' : 'Reading the prompt'
    case 'writing':
      return 'Writing'
    case 'stopping':
      return 'Stopping'
    case 'done':
      return run.endReason === null ? 'Finished' : endInWords(run, run.endReason)
    case 'stopped':
      return 'Stopped by you'
    case 'failed':
      return 'Not finished'
  }
}

/** `seedling with Whale songs and Letters`. */
export function madeBy({ modelName, patches }: Pick<ChatRun, 'modelName' | 'patches'>): string {
  if (patches.length === 0) return `${modelName} alone`
  const list = patches.length === 1 ? patches[0] : `${patches.slice(0, -1).join(', ')} and ${patches.at(-1)}`
  return `${modelName} with ${list}`
}

export function hopName(hop: Hop): string {
  return hop.local ? 'This machine' : displayPeer(hop)
}

function runsOf(hops: readonly Hop[]): string {
  return hops.map((hop) => `${hop.local ? 'this machine' : displayPeer(hop)} (${formatBlocks(hop.span)})`).join(' and ')
}

/** What happened on the way: `After 12 tokens amber-otter stopped answering; birch-finch (blocks 4–7) took over.` */
export function failoverInWords(change: RouteTaken): string {
  const when = `After ${formatPlural(change.tokens, 'token')}`
  const { lostPeer } = change
  if (lostPeer === null) return `${when} the route changed; the text goes on where it was.`
  const heirs = change.hops.filter((hop) => hop.span.start < lostPeer.span.end && lostPeer.span.start < hop.span.end)
  return `${when} ${hopName(lostPeer)} stopped answering; ${runsOf(heirs)} took over, and the text goes on where it was.`
}

const outcomes: Readonly<Record<HopReport['outcome'], string>> = {
  completed: 'completed',
  interrupted: 'cut short',
  failed: 'failed',
}

export function outcomeOfHop(report: HopReport): string {
  return outcomes[report.outcome]
}
