import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startShell } from '#electron/shell.ts'
import { FakeElectron, FakeTimers, fakeFrame, settled } from '#test/fakes/electron.ts'

interface Wish {
  readonly platform?: NodeJS.Platform
  readonly lockIsTaken?: boolean
  readonly trayFails?: boolean
  readonly answer?: number
}

function shell({ platform = 'linux', lockIsTaken = false, trayFails = false, answer }: Wish = {}) {
  const electron = new FakeElectron()
  electron.app.lockIsTaken = lockIsTaken
  electron.trayFails = trayFails
  if (answer !== undefined) electron.answer = Promise.resolve(answer)
  const timers = new FakeTimers()
  const signals = new Map<string, () => void>()
  const killed: number[] = []
  const shellDirectory = mkdtempSync(join(tmpdir(), 'quiltbee-shell-'))
  startShell(
    {
      electron,
      timers,
      process: { on: (signal, run) => signals.set(signal, run), kill: (processId) => killed.push(processId) },
      log: () => undefined,
    },
    {
      profile: 'default',
      platform,
      shellDirectory,
      resourcesDirectory: '/r',
      rendererDirectory: '/app/dist/renderer',
      preloadFile: '/app/dist/main/preload.cjs',
      nodeProcessFile: '/app/dist/main/node-process.js',
    },
  )
  const last = <T>(list: readonly T[]): T => {
    const found = list.at(-1)
    if (found === undefined) throw new Error('nothing was made')
    return found
  }
  return {
    electron,
    timers,
    signals,
    killed,
    shellDirectory,
    window: () => last(electron.windows),
    tray: () => last(electron.trays),
    child: () => last(electron.children),
    ready: async () => {
      electron.app.becomeReady()
      await settled()
    },
  }
}

describe('starting the shell', () => {
  it('claims the profile, its folder and its origin before Electron is ready, and makes nothing yet', () => {
    const { electron, shellDirectory } = shell()
    expect(electron.app.paths).toEqual({ userData: shellDirectory })
    expect(electron.schemes.map(({ scheme }) => scheme)).toEqual(['app'])
    expect([electron.windows, electron.children, electron.trays]).toEqual([[], [], []])
  })

  it('then guards the session, serves the page, and brings up tray, node and window', async () => {
    const { electron, ready, window, child } = shell()
    await ready()
    expect(electron.session.defaultSession.check?.(null, 'media', '', {} as never)).toBe(false)
    expect(Object.keys(electron.handlers)).toEqual(['app'])
    expect(window().webContents.openHandler).toBeDefined()
    expect(child()).toMatchObject({
      modulePath: '/app/dist/main/node-process.js',
      options: { serviceName: 'Quiltbee node', stdio: 'inherit' },
    })
    expect(child().received[0]?.message).toEqual({
      type: 'start',
      options: { profile: 'default', resourcesDirectory: '/r' },
    })
    expect([electron.windows.length, electron.children.length, electron.trays.length]).toEqual([1, 1, 1])
  })

  it('has a menu with zoom and editing, and without tools for developers', async () => {
    for (const platform of ['linux', 'win32', 'darwin'] as const) {
      const { electron, ready } = shell({ platform })
      await ready()
      const menu = JSON.stringify(electron.applicationMenu)
      for (const role of ['zoomIn', 'zoomOut', 'editMenu']) expect(menu).toContain(role)
      expect(menu).not.toMatch(/toggleDevTools|reload/i)
    }
  })

  it('ends at once, without a node, when the profile is in use', async () => {
    const { electron, ready } = shell({ lockIsTaken: true })
    await ready()
    expect(electron.app.exits).toEqual([0])
    expect([electron.children, electron.windows]).toEqual([[], []])
  })

  it('brings its window forward when it is started a second time', async () => {
    const { electron, ready, window } = shell()
    electron.app.emit('second-instance')
    await ready()
    window().minimized = true
    electron.app.emit('second-instance')
    await settled()
    expect(electron.windows).toHaveLength(1)
    expect([window().minimized, window().visible, window().calls.includes('focus')]).toEqual([false, true, true])
  })

  it('connects its page to the node once the node is ready, and no other page', async () => {
    const { electron, ready, window, child } = shell()
    await ready()
    const page = window().webContents
    electron.receive('quiltbee:connect', { sender: page, senderFrame: fakeFrame() })
    electron.receive('quiltbee:connect', { sender: page, senderFrame: fakeFrame({ parent: {} }) })
    expect(page.posted).toHaveLength(1)
    expect(child().ports).toHaveLength(0)
    child().say({ type: 'ready' })
    // The page's port and the tray's own.
    expect(child().ports).toHaveLength(2)
    for (const port of [...child().ports, ...page.posted.flatMap(({ ports }) => ports)]) port.close()
  })
})

describe('closing the window', () => {
  it.each([
    ['darwin', false, true],
    ['win32', false, true],
    ['linux', false, false],
    ['win32', true, false],
  ] as const)('on %s with a tray that fails: %s, hides it: %s', async (platform, trayFails, hides) => {
    const { electron, ready, window, child, timers } = shell({ platform, trayFails })
    await ready()
    child().onStop = () => child().exit(0)
    window().clickClose()
    if (window().destroyed) electron.app.emit('window-all-closed')
    await timers.advance(0)
    expect(window().destroyed).toBe(!hides)
    expect(electron.app.exits).toEqual(hides ? [] : [0])
  })

  it('remembers where the window was', async () => {
    const { ready, window, shellDirectory } = shell({ platform: 'darwin' })
    await ready()
    window().bounds = { x: 1, y: 2, width: 1003, height: 704 }
    window().clickClose()
    const bounds: unknown = JSON.parse(readFileSync(join(shellDirectory, 'window.json'), 'utf8'))
    expect(bounds).toEqual({ x: 1, y: 2, width: 1003, height: 704, maximized: false })
  })

  it('is undone by the tray, the dock, or a new window where there is none', async () => {
    const { electron, ready, window, tray } = shell({ platform: 'darwin' })
    await ready()
    window().clickClose()
    tray().pick('Open Quiltbee')
    expect(window().visible).toBe(true)
    window().clickClose()
    electron.app.emit('activate')
    expect([window().visible, electron.windows.length]).toEqual([true, 1])
    window().destroyed = true
    window().emit('closed')
    electron.app.emit('activate')
    expect(electron.windows).toHaveLength(2)
  })
})

describe('quitting', () => {
  it.each(['SIGINT', 'SIGTERM'])('on %s asks the node to stop, then exits', async (signal) => {
    const { electron, ready, signals, child, timers, tray } = shell()
    await ready()
    child().onStop = () => child().exit(0)
    signals.get(signal)?.()
    await timers.advance(0)
    expect([electron.app.exits, child().kills, tray().destroyed]).toEqual([[0], 0, true])
  })

  it('from the tray exits once, however often it is asked', async () => {
    const { electron, ready, child, timers, tray } = shell({ platform: 'darwin' })
    await ready()
    tray().pick('Quit Quiltbee')
    tray().pick('Quit Quiltbee')
    electron.app.quit()
    child().exit(0)
    await timers.advance(10_000)
    expect(electron.app.exits).toEqual([0])
    expect(child().received.filter(({ message }) => (message as { type: string }).type === 'stop')).toHaveLength(1)
  })

  it('takes less than 5 s even when the node hangs', async () => {
    const { electron, ready, killed, timers } = shell()
    await ready()
    electron.app.quit()
    await timers.advance(4_999)
    expect([electron.app.exits, killed]).toEqual([[0], [4000]])
  })

  it('closes the window for good, also where closing would hide it', async () => {
    const { electron, ready, window, child, timers } = shell({ platform: 'darwin' })
    await ready()
    electron.app.quit()
    window().clickClose()
    expect(window().destroyed).toBe(true)
    child().exit(0)
    await timers.advance(0)
    expect(electron.app.exits).toEqual([0])
  })
})

describe('trouble', () => {
  async function crashThrice(started: ReturnType<typeof shell>): Promise<void> {
    await started.ready()
    for (let time = 0; time < 3; time++) {
      started.child().exit(139)
      await started.timers.advance(1_000)
    }
  }

  it('with a node that keeps crashing is told once, in the tray and in a dialog', async () => {
    const started = shell()
    await crashThrice(started)
    expect(started.tray().image).toBe('/r/tray/problem.png')
    expect(started.electron.questions).toMatchObject([
      { type: 'error', message: 'Quiltbee cannot give right now', buttons: ['Try again', 'Not now', 'Quit Quiltbee'] },
    ])
    expect(started.electron.questions[0]?.detail).toContain('exit code 139')
  })

  it('is answered by trying again', async () => {
    const started = shell({ answer: 0 })
    await crashThrice(started)
    expect(started.electron.children).toHaveLength(4)
    expect(started.electron.app.exits).toEqual([])
  })

  it('is answered by quitting', async () => {
    const started = shell({ answer: 2 })
    await crashThrice(started)
    await started.timers.advance(5_000)
    expect(started.electron.app.exits).toEqual([0])
  })

  it('is left alone when the owner says so; the tray still offers to try again', async () => {
    const started = shell({ answer: 1 })
    await crashThrice(started)
    expect(started.electron.children).toHaveLength(3)
    started.tray().pick('Try again')
    expect(started.electron.children).toHaveLength(4)
  })

  it('with a node that cannot start says why', async () => {
    const { electron, ready, child } = shell()
    await ready()
    child().say({ type: 'failed', code: 'ledger-newer', params: {} })
    expect(electron.questions[0]?.detail).toContain('written by a newer version')
  })

  it('with the page: it is reloaded, and after three times in a minute the owner is asked', async () => {
    const { electron, ready, window, timers } = shell({ answer: 0 })
    await ready()
    const page = window().webContents
    const die = () => page.emit('render-process-gone', {}, { reason: 'crashed', exitCode: 5 })
    page.emit('render-process-gone', {}, { reason: 'clean-exit', exitCode: 0 })
    expect(page.reloads).toBe(0)
    die()
    die()
    expect([page.reloads, electron.questions.length]).toEqual([2, 0])
    die()
    expect([page.reloads, electron.questions.length]).toEqual([2, 1])
    await timers.advance(0)
    expect(page.reloads).toBe(3)
  })
})
