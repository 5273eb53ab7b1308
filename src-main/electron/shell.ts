/**
 * The shell put together: a window, a tray and the node's process, wired to each other. Knows Electron only by the parts it
 * is given, so that the whole of it runs in a test.
 */
import { join } from 'node:path'
import { appMenu } from './app-menu.ts'
import { registerAppScheme, serveApp } from './app-protocol.ts'
import type { ElectronParts, Timers } from './electron-parts.ts'
import { serveConnect } from './ipc.ts'
import { manageLifeCycle } from './life-cycle.ts'
import { createMainWindow, type MainWindow } from './main-window.ts'
import { guardNavigation, guardSession } from './navigation-guards.ts'
import { createNodeSupervisor, type NodeState, type NodeSupervisor } from './node-supervisor.ts'
import { createNodeWatch, type NodeWatch } from './node-watch.ts'
import { claimProfile } from './single-instance.ts'
import { productName, text } from './text.ts'
import { createTray, type ShellTray } from './tray.ts'
import type { TrayAction, TrayView } from './tray-menu.ts'
import { createTroubleDialog, nodeTrouble } from './trouble.ts'
import { createWindow } from './window.ts'

export interface ShellComponents {
  readonly electron: ElectronParts
  readonly process: {
    on(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
    kill(processId: number, signal: 'SIGKILL'): unknown
  }
  readonly timers: Timers
  readonly log: (line: string) => void
}
export interface ShellInit {
  readonly profile: string
  readonly platform: NodeJS.Platform
  readonly shellDirectory: string
  readonly resourcesDirectory: string
  readonly rendererDirectory: string
  readonly preloadFile: string
  readonly nodeProcessFile: string
}

/** Has to run before Electron is ready. Ends the app when another shell of this profile runs already. */
export function startShell(components: ShellComponents, init: ShellInit): void {
  const { app, protocol, session, shell, Menu } = components.electron
  const parts = assemble(components, init)
  const focus = () => void app.whenReady().then(parts.window.open)
  if (!claimProfile(app, init.shellDirectory, focus)) {
    app.exit(0)
    return
  }
  registerAppScheme(protocol)
  guardNavigation({ app, shell })
  void app.whenReady().then(() => {
    guardSession(session.defaultSession)
    serveApp(protocol, init.rendererDirectory)
    Menu.setApplicationMenu(Menu.buildFromTemplate(appMenu(init.platform)))
    parts.start()
  })
}

function assemble(components: ShellComponents, init: ShellInit): { window: MainWindow; start: () => void } {
  const { timers, log, electron } = components
  let view: TrayView = { node: { kind: 'stopped' }, status: null }
  let tray: ShellTray | undefined
  const see = (change: Partial<TrayView>) => {
    view = { ...view, ...change }
    tray?.show(view)
  }
  const tell = createTroubleDialog({ dialog: electron.dialog, quit: () => electron.app.quit() })
  const supervisor = superviseNode(components, init, (node) => {
    see({ node })
    watch.setRunning(node.kind === 'running')
    const trouble = nodeTrouble(node)
    if (trouble !== null) tell(trouble, supervisor.start)
  })
  const watch = createNodeWatch(
    { openPort: () => openPort(electron, supervisor), timers, log },
    { onStatus: (status) => see({ status }) },
  )
  const staysInTray = () => tray !== undefined && init.platform !== 'linux'
  const boundsFile = join(init.shellDirectory, 'window.json')
  const window = createMainWindow(
    { create: () => createWindow(electron, { ...windowInit(components, init), boundsFile }), timers, log },
    {
      boundsFile,
      hidesOnClose: staysInTray,
      onTrouble: (retry) => tell({ title: text.windowTroubleTitle, detail: text.windowTroubleDetail }, retry),
    },
  )
  serveConnect({ ...electron, supervisor, isOurs: window.owns, log })
  manageLifeCycle(
    { app: electron.app, process: components.process, timers },
    {
      openWindow: window.open,
      outlivesWindow: staysInTray,
      stop: async () => {
        window.prepareToQuit()
        await supervisor.stop()
        tray?.close()
      },
    },
  )
  const act = actions({ window, watch, supervisor, quit: () => electron.app.quit() })
  return {
    window,
    start() {
      tray = tryTray(components, init, view, act)
      supervisor.start()
      window.open()
    },
  }
}

function superviseNode(components: ShellComponents, init: ShellInit, onState: (state: NodeState) => void) {
  const { timers, log, electron, process } = components
  const { profile, resourcesDirectory } = init
  const serviceName = `${productName} node`
  return createNodeSupervisor(
    {
      fork: () => electron.utilityProcess.fork(init.nodeProcessFile, [], { serviceName, stdio: 'inherit' }),
      forceKill: (processId) => process.kill(processId, 'SIGKILL'),
      timers,
      log,
    },
    { options: { profile, resourcesDirectory }, onState },
  )
}

function openPort(electron: ElectronParts, supervisor: NodeSupervisor) {
  const { port1, port2 } = new electron.MessageChannelMain()
  supervisor.connect(port1)
  return port2
}

function windowInit({ electron }: ShellComponents, { preloadFile, resourcesDirectory }: ShellInit) {
  const iconFile = join(resourcesDirectory, 'icons', 'icon-512.png')
  return { preloadFile, iconFile, developerTools: !electron.app.isPackaged }
}

/** Without a tray the app is its window. */
function tryTray(
  { electron, log }: ShellComponents,
  init: ShellInit,
  view: TrayView,
  act: (action: TrayAction) => void,
) {
  const { resourcesDirectory, platform } = init
  try {
    return createTray(electron, { resourcesDirectory, platform, view, act })
  } catch (error) {
    log(`no tray here: ${String(error)}`)
    return undefined
  }
}

interface Acting {
  readonly window: MainWindow
  readonly watch: NodeWatch
  readonly supervisor: NodeSupervisor
  readonly quit: () => void
}

function actions({ window, watch, supervisor, quit }: Acting): (action: TrayAction) => void {
  const plain = { open: window.open, resume: watch.resume, retry: supervisor.start, quit } as const
  return (action) => (action.type === 'pause' ? watch.pause(action.minutes) : plain[action.type]())
}
