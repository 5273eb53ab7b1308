/** The one place where a window is made, and so the one place to read for what its page can reach. */
import type { BrowserWindowConstructorOptions } from 'electron'
import { appUrl } from './app-identity.ts'
import type { ScreenPart, ThemePart, WindowConstructor, WindowPart } from './electron-parts.ts'
import { productName } from './text.ts'
import { minimumSize, type Placement, placeWindow, readBounds } from './window-bounds.ts'

/** The page's own background in each theme, so that the window does not flash before the page has drawn. */
export const backgroundColours = { light: '#fbf8f1', dark: '#16140f' } as const

export interface WindowComponents {
  readonly BrowserWindow: WindowConstructor
  readonly nativeTheme: ThemePart
  readonly screen: ScreenPart
}
export interface WindowInit {
  readonly preloadFile: string
  readonly iconFile: string
  readonly boundsFile: string
  readonly developerTools: boolean
}

/** Makes the window and loads the page; it shows itself when there is something to see. */
export function createWindow(components: WindowComponents, init: WindowInit): WindowPart {
  const workAreas = components.screen.getAllDisplays().map((display) => display.workArea)
  const placement = placeWindow(readBounds(init.boundsFile), workAreas)
  const theme = components.nativeTheme.shouldUseDarkColors ? 'dark' : 'light'
  const window = new components.BrowserWindow(windowOptions(init, placement, backgroundColours[theme]))
  window.once('ready-to-show', () => {
    if (placement.maximized) window.maximize()
    window.show()
  })
  void window.loadURL(appUrl).catch(() => undefined)
  return window
}

function windowOptions(init: WindowInit, placement: Placement, colour: string): BrowserWindowConstructorOptions {
  const { maximized: _, ...bounds } = placement
  return {
    ...bounds,
    minWidth: minimumSize.width,
    minHeight: minimumSize.height,
    title: productName,
    icon: init.iconFile,
    backgroundColor: colour,
    autoHideMenuBar: true,
    show: false,
    webPreferences: {
      preload: init.preloadFile,
      contextIsolation: true,
      sandbox: true,
      webSecurity: true,
      nodeIntegration: false,
      nodeIntegrationInWorker: false,
      nodeIntegrationInSubFrames: false,
      webviewTag: false,
      allowRunningInsecureContent: false,
      navigateOnDragDrop: false,
      spellcheck: false,
      devTools: init.developerTools,
    },
  }
}
