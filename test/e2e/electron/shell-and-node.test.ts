/**
 * The whole desktop app but Electron: the shell on a fake Electron, the real node as the utility process would run it, and
 * real message ports between the two. What Electron itself adds is left to `smoke.test.ts`.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { apiVersion } from '#contracts/api/contract.ts'
import { createApiClient } from '#electron/api-client.ts'
import { createNodeHost } from '#electron/compose.ts'
import { runNodeProcess } from '#electron/run-node-process.ts'
import { startShell } from '#electron/shell.ts'
import { createShellDirectory } from '#electron/single-instance.ts'
import { systemTimers } from '#electron/timers.ts'
import { type FakeChild, FakeElectron, FakeParentPort, type FakeTray, fakeFrame } from '#test/fakes/electron.ts'

const repository = resolve(import.meta.dirname, '../../..')
const electron = new FakeElectron()
const lines: string[] = []
let home: string

/** Runs the node's process in this one, with the child's end of its channel where Electron would put it. */
function runAsChild(child: FakeChild): void {
  const parentPort = new FakeParentPort()
  child.postMessage = (message, ports = []) => {
    child.received.push({ message, ports })
    parentPort.receive(message, ports)
  }
  parentPort.postMessage = (message) => child.say(message)
  runNodeProcess({ parentPort, createNodeHost, exit: (code) => child.exit(code), log: (line) => lines.push(line) })
}

function theTray(): FakeTray {
  const [tray] = electron.trays
  if (tray === undefined) throw new Error('there is no tray')
  return tray
}
const trayShows = (line: RegExp) =>
  vi.waitFor(() => expect(theTray().toolTip, lines.join('\n')).toMatch(line), { timeout: 30_000, interval: 50 })

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'quiltbee-desktop-'))
  vi.stubEnv('QUILTBEE_HOME', home)
  const fork = electron.utilityProcess.fork
  electron.utilityProcess.fork = (...args) => {
    const child = fork(...args)
    runAsChild(child)
    return child
  }
  startShell(
    {
      electron,
      timers: systemTimers,
      process: { on: () => undefined, kill: () => undefined },
      log: (line) => lines.push(line),
    },
    {
      profile: 'desktop',
      platform: 'linux',
      shellDirectory: createShellDirectory('desktop', process.env),
      resourcesDirectory: join(repository, 'resources'),
      rendererDirectory: join(repository, 'dist/renderer'),
      preloadFile: 'preload.cjs',
      nodeProcessFile: 'node-process.js',
    },
  )
  electron.app.becomeReady()
})
afterAll(() => {
  vi.unstubAllEnvs()
  rmSync(home, { recursive: true, force: true })
})

describe('the desktop app', () => {
  it('starts with nothing configured and gives the embedded model', async () => {
    await trayShows(/Giving blocks 0:8, 0 sessions$/)
    expect(theTray().image).toBe(join(repository, 'resources/tray/giving.png'))
  })

  it('connects its page to the node: text is generated over the port', async () => {
    const page = electron.windows[0]?.webContents
    if (page === undefined) throw new Error('there is no window')
    electron.receive('quiltbee:connect', { sender: page, senderFrame: fakeFrame() })
    const port = page.posted[0]?.ports[0]
    if (port === undefined) throw new Error('the page got no port')
    const client = createApiClient(port)
    expect(await client.connect({ apiVersion })).toMatchObject({ apiVersion })
    let tokens = 0
    for await (const event of await client.chat.generate({ prompt: 'The people', maxTokens: 5 })) {
      if (event.type === 'end') tokens = event.tokens
    }
    expect(tokens).toBe(5)
    port.close()
  })

  it('pauses and resumes from the tray', async () => {
    theTray().pick('Until I resume')
    await trayShows(/Paused by you$/)
    expect(theTray().image).toMatch(/paused\.png$/)
    theTray().pick('Resume')
    await trayShows(/Giving blocks 0:8/)
  })

  it('ends within 5 s when its window is closed', async () => {
    const startedAtMs = performance.now()
    electron.windows[0]?.clickClose()
    electron.app.emit('window-all-closed')
    await vi.waitFor(() => expect(electron.app.exits).toEqual([0]), { timeout: 6_000 })
    expect(performance.now() - startedAtMs).toBeLessThan(5_000)
    expect(electron.children.map((child) => child.kills)).toEqual([0])
  })
})
