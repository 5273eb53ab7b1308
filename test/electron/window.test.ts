import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { backgroundColours, createWindow } from '#electron/window.ts'
import { writeBounds } from '#electron/window-bounds.ts'
import { FakeElectron } from '#test/fakes/electron.ts'

const repository = join(import.meta.dirname, '../..')

function made(change: { dark?: boolean; maximized?: boolean; developerTools?: boolean } = {}) {
  const electron = new FakeElectron()
  electron.nativeTheme.shouldUseDarkColors = change.dark ?? false
  const boundsFile = join(mkdtempSync(join(tmpdir(), 'quiltbee-window-')), 'window.json')
  if (change.maximized) writeBounds(boundsFile, { x: 50, y: 60, width: 1000, height: 700, maximized: true })
  const { developerTools = false } = change
  createWindow(electron, { preloadFile: '/app/preload.cjs', iconFile: '/r/icon.png', boundsFile, developerTools })
  const [window] = electron.windows
  if (window === undefined) throw new Error('no window was made')
  return { electron, window }
}

describe('createWindow', () => {
  it('gives the page a sandbox and nothing else', () => {
    const { electron } = made()
    expect(electron.windows.map((window) => window.options.webPreferences)).toEqual([
      {
        preload: '/app/preload.cjs',
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
        devTools: false,
      },
    ])
  })

  it('is never smaller than 900 by 600', () => {
    expect(made().window.options).toMatchObject({ minWidth: 900, minHeight: 600 })
  })

  it('loads our page, and shows itself when that is drawn', () => {
    const { window } = made()
    expect(window.url).toBe('app://quiltbee/')
    expect([window.options.show, window.visible]).toEqual([false, false])
    window.emit('ready-to-show')
    expect([window.visible, window.maximized]).toEqual([true, false])
  })

  it('comes back as it was left', () => {
    const { window } = made({ maximized: true })
    expect(window.options).toMatchObject({ x: 50, y: 60, width: 1000, height: 700 })
    expect(window.options).not.toHaveProperty('maximized')
    window.emit('ready-to-show')
    expect(window.maximized).toBe(true)
  })

  it("has the page's own background in both themes", () => {
    expect(made().window.options.backgroundColor).toBe(backgroundColours.light)
    expect(made({ dark: true }).window.options.backgroundColor).toBe(backgroundColours.dark)
    const tokens = readFileSync(join(repository, 'src-renderer/styles/tokens.css'), 'utf8')
    const papers = [...tokens.matchAll(/--paper:\s*(#[0-9a-f]{6})/g)].map(([, colour]) => colour)
    expect(papers.slice(0, 2)).toEqual([backgroundColours.light, backgroundColours.dark])
  })

  it('has tools for developers only where it is told to', () => {
    expect(made({ developerTools: true }).window.options.webPreferences?.devTools).toBe(true)
  })
})

describe('the source of the product', () => {
  const sources = ['src-main', 'src-renderer'].flatMap((folder) =>
    readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.(ts|js|svelte)$/.test(path))
      .map((path) => ({ path: join(folder, path), text: readFileSync(join(repository, folder, path), 'utf8') })),
  )
  const pathsWith = (pattern: RegExp) => sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path)

  it('makes windows in one file, and never another kind of page', () => {
    expect(pathsWith(/new\s+[\w.]*BrowserWindow\b/)).toEqual(['src-main/electron/window.ts'])
    expect(pathsWith(/\b(BrowserView|WebContentsView|<webview)\b/)).toEqual([])
  })

  it('nowhere weakens the sandbox', () => {
    expect(pathsWith(/\bsandbox['"]?\s*[:=]\s*false|no-sandbox/)).toEqual([])
    expect(pathsWith(/\bnodeIntegration\w*['"]?\s*[:=]\s*true/)).toEqual([])
    expect(pathsWith(/\b(contextIsolation|webSecurity)['"]?\s*[:=]\s*false/)).toEqual([])
    expect(
      pathsWith(
        /\b(webviewTag|allowRunningInsecureContent|enableBlinkFeatures|experimentalFeatures)['"]?\s*:\s*(true|'|")/,
      ),
    ).toEqual([])
  })

  it('uses Electron in the shell alone, and its IPC in preload and ipc alone', () => {
    const users = pathsWith(/from 'electron(\/\w+)?'|require\('electron/)
    expect(users.filter((path) => !path.startsWith('src-main/electron/'))).toEqual([])
    expect(pathsWith(/ipcRenderer\.|contextBridge\./)).toEqual(['src-main/electron/preload.ts'])
    expect(pathsWith(/ipcMain\.(on|handle)/)).toEqual(['src-main/electron/ipc.ts'])
  })

  it('takes from Electron at run time in the two entries alone; everything else is injected', () => {
    const values = pathsWith(/^import (?!type )(\{[^}]*\}|[\w$*, ]+) from 'electron'/m)
    expect(values.sort()).toEqual(['src-main/electron/main.ts', 'src-main/electron/preload.ts'])
  })
})
