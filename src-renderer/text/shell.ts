/** The words of the frame around the screens. */
import type { NodeStatus } from '#contracts/api/node.ts'
import type { Screen } from '../state/route.svelte.ts'

export const screenNames: Readonly<Record<Screen, string>> = {
  dashboard: 'Dashboard',
  chat: 'Chat',
  train: 'Train',
  patches: 'Patches',
  ledger: 'Ledger',
}

/** What the owner can do about giving now; null when it is not the owner's pause that holds it back. */
export function pauseAction(status: NodeStatus | null): 'pause' | 'resume' | null {
  if (status === null) return null
  const { hosting } = status
  if (hosting.kind === 'paused') return hosting.reason === 'paused-by-owner' ? 'resume' : null
  return hosting.kind === 'failed' ? null : 'pause'
}
