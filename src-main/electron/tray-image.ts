/** Which picture the tray shows. Each state has a shape of its own, as colour alone tells nothing to some of us. */
import { join } from 'node:path'
import type { TrayView } from './tray-menu.ts'

/** giving: a full cell. paused: two bars. problem: an exclamation mark. offline: a hollow cell, nothing given yet. */
export const trayStates = ['giving', 'paused', 'problem', 'offline'] as const
export type TrayState = (typeof trayStates)[number]

export function trayState({ node, status }: TrayView): TrayState {
  if (node.kind === 'crashing' || node.kind === 'refused') return 'problem'
  if (node.kind !== 'running' || status === null) return 'offline'
  switch (status.hosting.kind) {
    case 'hosting':
      return 'giving'
    case 'paused':
      return 'paused'
    case 'failed':
      return 'problem'
    case 'starting':
    case 'measuring':
    case 'loading':
      return 'offline'
  }
}

/** macOS colours an image itself when its file is called `…Template`; `@2x` beside it is found by Electron. */
export function trayImagePath(resourcesDirectory: string, state: TrayState, platform: NodeJS.Platform): string {
  const file = platform === 'darwin' ? `${state}Template.png` : `${state}.png`
  return join(resourcesDirectory, 'tray', file)
}
