/** The shell's one window through its life: opened and brought forward, hidden or closed, reloaded when its page dies. */
import { createBreaker } from './breaker.ts'
import type { Preventable, Timers, WindowPart } from './electron-parts.ts'
import { writeBounds } from './window-bounds.ts'

export interface MainWindow {
  /** Shows the window: the one there is, or a new one. */
  open(): void
  owns(contentsId: number): boolean
  /** From now on closing closes. Notes where the window is. */
  prepareToQuit(): void
}

export interface MainWindowComponents {
  readonly create: () => WindowPart
  readonly timers: Timers
  readonly log: (line: string) => void
}
export interface MainWindowInit {
  readonly boundsFile: string
  /** Whether closing the window only hides it: true where a tray is sure to bring it back. */
  readonly hidesOnClose: () => boolean
  /** The page died three times within a minute; it is not reloaded again unless `retry` is called. */
  readonly onTrouble: (retry: () => void) => void
}

const crashLimit = 3
const crashWindowMs = 60_000

export function createMainWindow(components: MainWindowComponents, init: MainWindowInit): MainWindow {
  const breaker = createBreaker(crashWindowMs)
  let window: WindowPart | undefined
  let quitting = false

  function open(): void {
    if (window === undefined || window.isDestroyed()) {
      window = make()
      return
    }
    if (window.isMinimized()) window.restore()
    window.show()
    window.focus()
  }

  function make(): WindowPart {
    const made = components.create()
    made.on('close', (event) => close(made, event))
    made.on('closed', () => {
      if (window === made) window = undefined
    })
    made.webContents.on('render-process-gone', (_event, { reason, exitCode }) => {
      if (reason !== 'clean-exit') recover(made, `${reason}, exit code ${exitCode}`)
    })
    return made
  }

  function close(made: WindowPart, event: Preventable): void {
    remember(made)
    if (quitting || !init.hidesOnClose()) return
    event.preventDefault()
    made.hide()
  }

  function remember(made: WindowPart): void {
    writeBounds(init.boundsFile, { ...made.getNormalBounds(), maximized: made.isMaximized() })
  }

  function recover(made: WindowPart, why: string): void {
    components.log(`the page ended: ${why}`)
    if (quitting || made.isDestroyed()) return
    const retry = () => {
      if (!made.isDestroyed()) made.webContents.reload()
    }
    const crashes = breaker.record(components.timers.monotonicMs())
    if (crashes < crashLimit) {
      retry()
    } else {
      breaker.reset()
      init.onTrouble(retry)
    }
  }

  return {
    open,
    owns: (contentsId) => window !== undefined && !window.isDestroyed() && window.webContents.id === contentsId,
    prepareToQuit() {
      quitting = true
      if (window !== undefined && !window.isDestroyed()) remember(window)
    },
  }
}
