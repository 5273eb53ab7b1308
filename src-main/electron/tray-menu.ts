/** What the tray shows for what is known: pure, so that every state of the node can be seen in a test. */
import type { HostingState, NodeStatus } from '#contracts/api/node.ts'
import { formatSpan } from '#contracts/span.ts'
import type { NodeState } from './node-supervisor.ts'
import { clockTime, pauseChoices, pauseReasons, text } from './text.ts'

/** What the shell knows of the node. `status` is null while nothing is heard from it. */
export interface TrayView {
  readonly node: NodeState
  readonly status: NodeStatus | null
}

export type TrayAction =
  | { readonly type: 'open' | 'resume' | 'retry' | 'quit' }
  | { readonly type: 'pause'; readonly minutes: number | null }

export type TrayItem =
  | { readonly kind: 'text'; readonly label: string }
  | { readonly kind: 'action'; readonly label: string; readonly action: TrayAction }
  | { readonly kind: 'submenu'; readonly label: string; readonly items: readonly TrayItem[] }
  | { readonly kind: 'separator' }

export function trayMenu(view: TrayView): readonly TrayItem[] {
  return [
    { kind: 'text', label: statusLine(view) },
    { kind: 'action', label: text.open, action: { type: 'open' } },
    ...controls(view),
    ...figures(view),
    { kind: 'separator' },
    { kind: 'action', label: text.quit, action: { type: 'quit' } },
  ]
}

/** The state with its reason, in one line. */
export function statusLine({ node, status }: TrayView): string {
  switch (node.kind) {
    case 'starting':
      return text.starting
    case 'stopped':
      return text.stopped
    case 'restarting':
      return text.restarting
    case 'crashing':
      return text.crashing
    case 'refused':
      return text.failed(node.code)
    case 'running':
      return status === null ? text.connecting : hostingLine(status)
  }
}

function hostingLine({ hosting }: NodeStatus): string {
  switch (hosting.kind) {
    case 'starting':
      return text.starting
    case 'measuring':
      return text.measuring(hosting.done, hosting.total)
    case 'loading':
      if (hosting.again && hosting.blocksLoaded === 0) return text.loadingAgain
      return text.loading(hosting.blocksLoaded, hosting.blocksTotal)
    case 'hosting':
      return text.hosting(formatSpan(hosting.span), hosting.sessions)
    case 'paused': {
      const reason = pauseReasons[hosting.reason]
      return hosting.untilMs === null ? reason : text.pausedUntil(reason, clockTime(hosting.untilMs))
    }
    case 'failed':
      return text.failed(hosting.code)
  }
}

function controls({ node, status }: TrayView): readonly TrayItem[] {
  if (node.kind === 'crashing' || node.kind === 'refused') {
    return [{ kind: 'action', label: text.tryAgain, action: { type: 'retry' } }]
  }
  if (node.kind !== 'running' || status === null) return []
  switch (pauseControl(status.hosting)) {
    case 'resume':
      return [{ kind: 'action', label: text.resume, action: { type: 'resume' } }]
    case 'pause':
      return [{ kind: 'submenu', label: text.pause, items: pauseChoices.map(pauseItem) }]
    case 'none':
      return []
  }
}

/** There is nothing to pause where something else than the owner holds the node back. */
function pauseControl(hosting: HostingState): 'pause' | 'resume' | 'none' {
  if (hosting.kind === 'failed') return 'none'
  if (hosting.kind !== 'paused') return 'pause'
  return hosting.reason === 'paused-by-owner' ? 'resume' : 'none'
}

function pauseItem(choice: (typeof pauseChoices)[number]): TrayItem {
  return { kind: 'action', label: choice.label, action: { type: 'pause', minutes: choice.minutes } }
}

function figures({ node, status }: TrayView): readonly TrayItem[] {
  if (node.kind !== 'running' || status === null) return []
  return [
    { kind: 'separator' },
    { kind: 'text', label: text.today(status.today.servedTokens, status.today.usedTokens) },
    { kind: 'text', label: text.peers(status.peers.length) },
  ]
}
