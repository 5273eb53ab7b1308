/**
 * An Electron to drive by hand, as large as the shell's use of it. It is `ElectronParts`, which `main.ts` fills with the real
 * Electron: so both sides are compiled against `electron.d.ts`, and a drift of its API is a type error. Message ports are real
 * ones (Node's), so that what is said over them is really serialised.
 */
import { EventEmitter } from 'node:events'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type {
  BrowserWindowConstructorOptions,
  CustomScheme,
  ForkOptions,
  Menu,
  MenuItemConstructorOptions,
  MessageBoxOptions,
  MessagePortMain,
  NativeImage,
  Rectangle,
} from 'electron'
import type {
  AppPart,
  ChildPart,
  ContentsPart,
  ElectronParts,
  FramePart,
  IpcEventPart,
  ParentPortPart,
  SessionPart,
  Timers,
  TrayPart,
  WindowPart,
} from '#electron/electron-parts.ts'

/** Hands that stand still until turned; due timers run in order of time. */
export class FakeTimers implements Timers {
  #now = 0
  #due: { readonly at: number; readonly run: () => void }[] = []

  monotonicMs(): number {
    return this.#now
  }

  after(delayMs: number, run: () => void): () => void {
    const entry = { at: this.#now + delayMs, run }
    this.#due.push(entry)
    return () => {
      this.#due = this.#due.filter((other) => other !== entry)
    }
  }

  /** Turns the hands, letting promises settle before, between and after what falls due. */
  async advance(byMs: number): Promise<void> {
    const end = this.#now + byMs
    await settled()
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#due = this.#due.filter((other) => other !== next)
      this.#now = next.at
      next.run()
      await settled()
    }
    this.#now = end
  }

  #next(end: number) {
    return this.#due.filter((entry) => entry.at <= end).sort((a, b) => a.at - b.at)[0]
  }
}

/** Resolves when the promises that were ready to settle have done so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export class FakeMessagePort extends EventEmitter implements MessagePortMain {
  readonly #port: MessagePort
  closed = false

  constructor(port: MessagePort) {
    super()
    this.#port = port
    port.on('close', () => {
      this.closed = true
      this.emit('close')
    })
  }

  start(): void {
    this.#port.on('message', (data: unknown) => this.emit('message', { data, ports: [] }))
  }

  postMessage(message: unknown): void {
    this.#port.postMessage(message)
  }

  close(): void {
    this.closed = true
    this.#port.close()
  }
}

export class FakeMessageChannel {
  readonly port1: FakeMessagePort
  readonly port2: FakeMessagePort

  constructor() {
    const { port1, port2 } = new MessageChannel()
    this.port1 = new FakeMessagePort(port1)
    this.port2 = new FakeMessagePort(port2)
  }
}

/** An event that remembers whether its default was prevented. */
export class FakeEvent {
  prevented = false
  preventDefault(): void {
    this.prevented = true
  }
}

export function fakeFrame(change: Partial<FramePart> = {}): FramePart {
  const ours = { url: 'app://quiltbee/', origin: 'app://quiltbee', parent: null, detached: false }
  return { ...ours, isDestroyed: () => false, ...change }
}

type Posted = { readonly channel: string; readonly message: unknown; readonly ports: readonly MessagePortMain[] }
type OpenHandler = Parameters<ContentsPart['setWindowOpenHandler']>[0]

export class FakeContents extends EventEmitter implements ContentsPart {
  readonly id: number
  readonly posted: Posted[] = []
  reloads = 0
  destroyed = false
  openHandler: OpenHandler | undefined

  constructor(id: number) {
    super()
    this.id = id
  }
  isDestroyed(): boolean {
    return this.destroyed
  }
  postMessage(channel: string, message: unknown, ports: MessagePortMain[] = []): void {
    this.posted.push({ channel, message, ports })
  }
  reload(): void {
    this.reloads++
  }
  setWindowOpenHandler(handler: OpenHandler): void {
    this.openHandler = handler
  }
  /** What happens to a navigation of the given kind: true when it was prevented. */
  prevents(event: string, url: string, isMainFrame = true): boolean {
    const details = Object.assign(new FakeEvent(), { url, isMainFrame })
    this.emit(event, details)
    return details.prevented
  }
}

export class FakeWindow extends EventEmitter implements WindowPart {
  readonly options: BrowserWindowConstructorOptions
  readonly webContents: FakeContents
  readonly calls: string[] = []
  bounds: Rectangle = { x: 10, y: 20, width: 1000, height: 700 }
  url = ''
  visible = false
  minimized = false
  maximized = false
  destroyed = false

  constructor(options: BrowserWindowConstructorOptions, id: number) {
    super()
    this.options = options
    this.webContents = new FakeContents(id)
  }
  async loadURL(url: string): Promise<void> {
    this.url = url
  }
  show(): void {
    this.visible = true
  }
  hide(): void {
    this.visible = false
  }
  focus(): void {
    this.calls.push('focus')
  }
  restore(): void {
    this.minimized = false
  }
  maximize(): void {
    this.maximized = true
  }
  isMinimized(): boolean {
    return this.minimized
  }
  isMaximized(): boolean {
    return this.maximized
  }
  isDestroyed(): boolean {
    return this.destroyed
  }
  getNormalBounds(): Rectangle {
    return this.bounds
  }
  /** The owner clicks the window's close button. */
  clickClose(): void {
    const event = new FakeEvent()
    this.emit('close', event)
    if (event.prevented) return
    this.destroyed = true
    this.webContents.destroyed = true
    this.emit('closed')
  }
}

export class FakeChild extends EventEmitter implements ChildPart {
  readonly modulePath: string
  readonly options: ForkOptions
  readonly received: { readonly message: unknown; readonly ports: readonly MessagePortMain[] }[] = []
  pid: number | undefined
  kills = 0
  /** What the process does when asked to stop, or terminated; none of it by itself. */
  onStop = (): void => undefined
  onKill = (): void => undefined

  constructor(modulePath: string, options: ForkOptions, pid: number) {
    super()
    this.modulePath = modulePath
    this.options = options
    this.pid = pid
  }
  postMessage(message: unknown, ports: MessagePortMain[] = []): void {
    this.received.push({ message, ports })
    if ((message as { type: string }).type === 'stop') this.onStop()
  }
  kill(): boolean {
    this.kills++
    this.onKill()
    return true
  }
  say(message: unknown): void {
    this.emit('message', message)
  }
  exit(code: number): void {
    this.pid = undefined
    this.emit('exit', code)
  }
  get ports(): readonly MessagePortMain[] {
    return this.received.flatMap(({ ports }) => ports)
  }
}

export class FakeParentPort extends EventEmitter implements ParentPortPart {
  readonly sent: unknown[] = []
  postMessage(message: unknown): void {
    this.sent.push(message)
  }
  receive(data: unknown, ports: readonly MessagePortMain[] = []): void {
    this.emit('message', { data, ports })
  }
}

export class FakeTray extends EventEmitter implements TrayPart {
  image: string
  toolTip = ''
  menu: MenuItemConstructorOptions[] | null = null
  menusSet = 0
  destroyed = false

  constructor(image: NativeImage) {
    super()
    this.image = pathOf(image)
  }
  setImage(image: NativeImage | string): void {
    this.image = typeof image === 'string' ? image : pathOf(image)
  }
  setToolTip(toolTip: string): void {
    this.toolTip = toolTip
  }
  setContextMenu(menu: Menu | null): void {
    this.menusSet++
    this.menu = menu === null ? null : templateOfMenu(menu)
  }
  destroy(): void {
    this.destroyed = true
  }
  /** The owner picks an entry, by its label; submenus are searched too. */
  pick(label: string): void {
    const item = allItems(this.menu ?? []).find((candidate) => candidate.label === label)
    if (item?.click === undefined) throw new Error(`no entry "${label}" to click`)
    ;(item.click as () => void)()
  }
  get labels(): readonly string[] {
    return allItems(this.menu ?? []).flatMap((item) => item.label ?? [])
  }
}

function allItems(items: readonly MenuItemConstructorOptions[]): MenuItemConstructorOptions[] {
  return items.flatMap((item) => [item, ...(Array.isArray(item.submenu) ? allItems(item.submenu) : [])])
}

type PermissionRequest = Exclude<Parameters<SessionPart['setPermissionRequestHandler']>[0], null>
type PermissionCheck = Exclude<Parameters<SessionPart['setPermissionCheckHandler']>[0], null>
type DevicePermission = Exclude<Parameters<SessionPart['setDevicePermissionHandler']>[0], null>

export class FakeSession implements SessionPart {
  request: PermissionRequest | null = null
  check: PermissionCheck | null = null
  device: DevicePermission | null = null
  setPermissionRequestHandler(handler: PermissionRequest | null): void {
    this.request = handler
  }
  setPermissionCheckHandler(handler: PermissionCheck | null): void {
    this.check = handler
  }
  setDevicePermissionHandler(handler: DevicePermission | null): void {
    this.device = handler
  }
}

export class FakeApp extends EventEmitter implements AppPart {
  readonly paths: Record<string, string> = {}
  readonly exits: number[] = []
  isPackaged = true
  /** Whether another instance holds the lock. */
  lockIsTaken = false
  /** Lets `whenReady` resolve. */
  becomeReady: () => void = () => undefined
  readonly #ready = new Promise<void>((resolve) => {
    this.becomeReady = resolve
  })

  whenReady(): Promise<void> {
    return this.#ready
  }
  setPath(name: string, path: string): void {
    this.paths[name] = path
  }
  requestSingleInstanceLock(): boolean {
    return !this.lockIsTaken
  }
  quit(): void {
    const event = new FakeEvent()
    this.emit('before-quit', event)
    if (!event.prevented) this.exit(0)
  }
  exit(code = 0): void {
    this.exits.push(code)
  }
}

type ProtocolHandler = Parameters<ElectronParts['protocol']['handle']>[1]

/** One Electron, with all that was made by it and asked of it. */
export class FakeElectron implements ElectronParts {
  readonly windows: FakeWindow[] = []
  readonly trays: FakeTray[] = []
  readonly children: FakeChild[] = []
  readonly opened: string[] = []
  readonly schemes: CustomScheme[] = []
  readonly handlers: Record<string, ProtocolHandler> = {}
  readonly questions: MessageBoxOptions[] = []
  readonly ipcMain = new EventEmitter()
  readonly app = new FakeApp()
  readonly MessageChannelMain = FakeMessageChannel
  readonly nativeTheme = { shouldUseDarkColors: false }
  readonly session = { defaultSession: new FakeSession() }
  readonly shell = { openExternal: async (url: string) => void this.opened.push(url) }
  readonly nativeImage = { createFromPath: (path: string) => ({ path }) as unknown as NativeImage }
  applicationMenu: MenuItemConstructorOptions[] | null = null
  workAreas: Rectangle[] = [{ x: 0, y: 0, width: 1920, height: 1040 }]
  /** Index of the button that the owner presses in dialogs. */
  answer: Promise<number> = new Promise(() => undefined)
  trayFails = false

  readonly screen = { getAllDisplays: () => this.workAreas.map((workArea) => ({ workArea })) }
  readonly dialog = {
    showMessageBox: async (options: MessageBoxOptions) => {
      this.questions.push(options)
      return { response: await this.answer, checkboxChecked: false }
    },
  }
  readonly Menu = {
    buildFromTemplate: (template: MenuItemConstructorOptions[]) => ({ template }) as unknown as Menu,
    setApplicationMenu: (menu: Menu | null) => {
      this.applicationMenu = menu === null ? null : templateOfMenu(menu)
    },
  }
  readonly protocol = {
    registerSchemesAsPrivileged: (schemes: CustomScheme[]) => void this.schemes.push(...schemes),
    handle: (scheme: string, handler: ProtocolHandler) => {
      this.handlers[scheme] = handler
    },
  }
  readonly utilityProcess = {
    fork: (modulePath: string, _args: string[], options: ForkOptions) => {
      const child = new FakeChild(modulePath, options, 4000 + this.children.length)
      this.children.push(child)
      return child
    },
  }
  readonly BrowserWindow: new (
    options: BrowserWindowConstructorOptions,
  ) => FakeWindow
  readonly Tray: new (
    image: NativeImage,
  ) => FakeTray

  constructor() {
    const fake = this
    this.BrowserWindow = class extends FakeWindow {
      constructor(options: BrowserWindowConstructorOptions) {
        super(options, fake.windows.length + 1)
        fake.windows.push(this)
        fake.app.emit('web-contents-created', new FakeEvent(), this.webContents)
      }
    }
    this.Tray = class extends FakeTray {
      constructor(image: NativeImage) {
        if (fake.trayFails) throw new Error('no status notifier')
        super(image)
        fake.trays.push(this)
      }
    }
  }

  /** A page calls: what arrives at `ipcMain`. */
  receive(channel: string, event: IpcEventPart): void {
    this.ipcMain.emit(channel, event)
  }
}

function pathOf(image: NativeImage): string {
  return (image as unknown as { path: string }).path
}

function templateOfMenu(menu: Menu): MenuItemConstructorOptions[] {
  return (menu as unknown as { template: MenuItemConstructorOptions[] }).template
}
