/** How the app ends: by signal, by the last window, or by Quit, always the same way and always within 5 s. */
import type { AppPart, Timers } from './electron-parts.ts'
import { within } from './node-supervisor.ts'

export interface LifeCycleComponents {
  readonly app: AppPart
  readonly process: { on(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown }
  readonly timers: Timers
}
export interface LifeCycleInit {
  readonly openWindow: () => void
  /** Whether the app goes on without a window. */
  readonly outlivesWindow: () => boolean
  /** Ends whatever the shell has started. */
  readonly stop: () => Promise<void>
}

const quitLimitMs = 5_000

export function manageLifeCycle(components: LifeCycleComponents, init: LifeCycleInit): void {
  const { app, timers } = components
  let quitting = false

  /** `exit` and not `quit` again: nothing may ask or prevent any more. */
  async function end(): Promise<void> {
    const stopped = init.stop().catch(() => undefined)
    await within(stopped, quitLimitMs, timers)
    app.exit(0)
  }

  app.on('before-quit', (event) => {
    event.preventDefault()
    if (quitting) return
    quitting = true
    void end()
  })
  app.on('window-all-closed', () => {
    if (!init.outlivesWindow()) app.quit()
  })
  app.on('activate', init.openWindow)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) components.process.on(signal, () => app.quit())
}
