/**
 * The part of Electron that the shell uses, and nothing more. Every module takes what it needs of this by injection;
 * `main.ts` hands in the real thing and tests a fake. Both are checked against `electron.d.ts`, so a change in Electron's API
 * is a type error here and not a surprise at run time.
 */
import type {
  App,
  BrowserWindow,
  BrowserWindowConstructorOptions,
  Dialog,
  Event,
  ForkOptions,
  MessagePortMain,
  NativeImage,
  NativeTheme,
  ParentPort,
  Protocol,
  Rectangle,
  Session,
  Shell,
  Tray,
  UtilityProcess,
  WebContents,
  WebFrameMain,
} from 'electron'

/** An event whose default can be prevented, stripped of Electron's sender. */
export type Preventable = Pick<Event, 'preventDefault'>

export interface AppPart
  extends Pick<App, 'exit' | 'isPackaged' | 'quit' | 'requestSingleInstanceLock' | 'setPath' | 'whenReady'> {
  on(event: 'activate' | 'second-instance' | 'window-all-closed', listener: () => void): unknown
  on(event: 'before-quit', listener: (event: Preventable) => void): unknown
  on(event: 'session-created', listener: (session: SessionPart) => void): unknown
  on(event: 'web-contents-created', listener: (event: Preventable, contents: ContentsPart) => void): unknown
}

export type SessionPart = Pick<
  Session,
  'setDevicePermissionHandler' | 'setPermissionCheckHandler' | 'setPermissionRequestHandler'
>

export interface FramePart extends Pick<WebFrameMain, 'detached' | 'isDestroyed' | 'origin' | 'url'> {
  /** Null for a page's main frame. */
  readonly parent: object | null
}

export interface ContentsPart
  extends Pick<WebContents, 'id' | 'isDestroyed' | 'postMessage' | 'reload' | 'setWindowOpenHandler'> {
  on(
    event: 'will-frame-navigate' | 'will-redirect',
    listener: (details: Preventable & { readonly url: string; readonly isMainFrame: boolean }) => void,
  ): unknown
  on(event: 'will-navigate', listener: (details: Preventable & { readonly url: string }) => void): unknown
  on(event: 'will-attach-webview', listener: (event: Preventable) => void): unknown
  on(
    event: 'render-process-gone',
    listener: (event: Preventable, details: { readonly reason: string; readonly exitCode: number }) => void,
  ): unknown
}

export interface WindowPart
  extends Pick<
    BrowserWindow,
    | 'focus'
    | 'getNormalBounds'
    | 'hide'
    | 'isDestroyed'
    | 'isMaximized'
    | 'isMinimized'
    | 'loadURL'
    | 'maximize'
    | 'restore'
    | 'show'
  > {
  readonly webContents: ContentsPart
  on(event: 'close', listener: (event: Preventable) => void): unknown
  on(event: 'closed', listener: () => void): unknown
  once(event: 'ready-to-show', listener: () => void): unknown
}
export type WindowConstructor = new (options: BrowserWindowConstructorOptions) => WindowPart

/** A message on an IPC channel, with what is needed to judge its sender. */
export interface IpcEventPart {
  readonly sender: Pick<ContentsPart, 'id' | 'isDestroyed' | 'postMessage'>
  readonly senderFrame: FramePart | null
}
export interface IpcMainPart {
  on(channel: string, listener: (event: IpcEventPart) => void): unknown
}

export type MessageChannelConstructor = new () => { readonly port1: MessagePortMain; readonly port2: MessagePortMain }

export interface ChildPart extends Pick<UtilityProcess, 'kill' | 'pid' | 'postMessage'> {
  on(event: 'exit', listener: (code: number) => void): unknown
  on(event: 'message', listener: (message: unknown) => void): unknown
}

export interface ParentPortPart extends Pick<ParentPort, 'postMessage'> {
  on(
    event: 'message',
    listener: (event: { readonly data: unknown; readonly ports: readonly MessagePortMain[] }) => void,
  ): unknown
}

export interface TrayPart extends Pick<Tray, 'destroy' | 'setContextMenu' | 'setImage' | 'setToolTip'> {
  on(event: 'click', listener: () => void): unknown
}
export type TrayConstructor = new (image: NativeImage) => TrayPart

export interface NativeImagePart {
  createFromPath(path: string): NativeImage
}

export interface MenuPart {
  buildFromTemplate(template: Electron.MenuItemConstructorOptions[]): Electron.Menu
  setApplicationMenu(menu: Electron.Menu | null): void
}

export type ProtocolPart = Pick<Protocol, 'handle'>
export type SchemesPart = Pick<Protocol, 'registerSchemesAsPrivileged'>
export type ShellPart = Pick<Shell, 'openExternal'>
export type ThemePart = Pick<NativeTheme, 'shouldUseDarkColors'>
export interface ScreenPart {
  getAllDisplays(): readonly { readonly workArea: Rectangle }[]
}
export interface DialogPart {
  showMessageBox(options: Electron.MessageBoxOptions): ReturnType<Dialog['showMessageBox']>
}

/** Timers and time of the shell; a test turns the hands. */
export interface Timers {
  /** Milliseconds that only ever go forward. */
  monotonicMs(): number
  /** Calls `run` once after `delayMs`; returns how to call it off. */
  after(delayMs: number, run: () => void): () => void
}

/** Everything of Electron's main process that the shell uses. */
export interface ElectronParts {
  readonly app: AppPart
  readonly BrowserWindow: WindowConstructor
  readonly dialog: DialogPart
  readonly ipcMain: IpcMainPart
  readonly Menu: MenuPart
  readonly MessageChannelMain: MessageChannelConstructor
  readonly nativeImage: NativeImagePart
  readonly nativeTheme: ThemePart
  readonly protocol: ProtocolPart & SchemesPart
  readonly screen: ScreenPart
  /** The default session exists once the app is ready. */
  readonly session: { readonly defaultSession: SessionPart }
  readonly shell: ShellPart
  readonly Tray: TrayConstructor
  readonly utilityProcess: { fork(modulePath: string, args: string[], options: ForkOptions): ChildPart }
}
