/**
 * The real Electron, where there is one: the app as `npm start` runs it, driven through Playwright. It never fetches a
 * binary; without one it says so and skips. Needs a build (`dist/`), as the app itself does.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { _electron, type ElectronApplication, type Page } from '@playwright/test'
import { afterEach, describe, expect, it } from 'vitest'

const repository = resolve(import.meta.dirname, '../../..')
const quitLimitMs = 5_000

/** What the smoke test runs, or why it cannot. */
type Means = { readonly kind: 'run'; readonly executable: string } | { readonly kind: 'skip'; readonly because: string }

function findMeans(): Means {
  const directory = process.env['ELECTRON_OVERRIDE_DIST_PATH'] ?? join(repository, 'node_modules/electron/dist')
  const names: Partial<Record<NodeJS.Platform, string>> = {
    darwin: 'Electron.app/Contents/MacOS/Electron',
    win32: 'electron.exe',
  }
  const executable = join(directory, names[process.platform] ?? 'electron')
  if (!existsSync(executable)) return { kind: 'skip', because: `no Electron binary (looked for ${executable})` }
  if (process.platform === 'linux' && !process.env['DISPLAY'] && !process.env['WAYLAND_DISPLAY']) {
    return { kind: 'skip', because: 'no display (DISPLAY and WAYLAND_DISPLAY are not set)' }
  }
  if (process.getuid?.() === 0) return { kind: 'skip', because: "Electron's sandbox does not run as root" }
  return { kind: 'run', executable }
}

const means = findMeans()
if (means.kind === 'skip')
  process.stderr.write(`skipped: ${means.because}; the real-Electron smoke suite did not run\n`)

describe.skipIf(means.kind === 'skip')('the app in a real Electron', () => {
  let app: ElectronApplication | undefined
  let home: string | undefined

  async function start(): Promise<{ running: ElectronApplication; page: Page }> {
    if (means.kind === 'skip') throw new Error(means.because)
    const own = mkdtempSync(join(tmpdir(), 'quiltbee-electron-'))
    home = own
    const running = await _electron.launch({
      executablePath: means.executable,
      args: [repository, '--profile', 'smoke'],
      env: { ...process.env, QUILTBEE_HOME: own },
    })
    app = running
    return { running, page: await running.firstWindow() }
  }

  afterEach(async () => {
    await app?.close().catch(() => undefined)
    app = undefined
    if (home !== undefined) rmSync(home, { recursive: true, force: true })
  })

  it('opens one window on its own origin, without Node in the page', async () => {
    const { running, page } = await start()
    await page.waitForLoadState()
    expect(page.url()).toMatch(/^app:\/\/quiltbee\//)
    expect(running.windows()).toHaveLength(1)
    const inPage = await page.evaluate(() => ({
      node: ['require', 'process', 'module', 'Buffer', 'global'].filter((name) => name in globalThis),
      bridge: Object.keys((globalThis as unknown as { quiltbee: object }).quiltbee),
    }))
    expect(inPage).toEqual({ node: [], bridge: ['connect'] })
  })

  it('keeps to its policy: the header is there, and an injected script does not run', async () => {
    const { page } = await start()
    await page.waitForLoadState()
    const policy = await page.evaluate(async () => (await fetch('/')).headers.get('content-security-policy'))
    expect(policy).toContain("default-src 'none'")
    const violations = await page.evaluate(async () => {
      const seen: string[] = []
      document.addEventListener('securitypolicyviolation', (event) => seen.push(event.effectiveDirective))
      const script = document.createElement('script')
      script.append('window.injected = true')
      document.body.append(script)
      await new Promise((done) => setTimeout(done, 200))
      return { seen, injected: 'injected' in window }
    })
    expect(violations.injected).toBe(false)
    expect(violations.seen.length).toBeGreaterThan(0)
  })

  it('connects the page to the node, which then shows its state', async () => {
    const { page } = await start()
    const state = page.getByTestId('state')
    await state.waitFor()
    await expect.poll(() => state.textContent(), { timeout: 30_000 }).not.toMatch(/^\s*(Connecting|No connection)\s*$/)
    expect(await page.getByTestId('connection-lost').count()).toBe(0)
  })

  it.each(['quit', 'SIGTERM'] as const)('ends within 5 s on %s', async (how) => {
    const { running } = await start()
    const ended = new Promise<number | null>((done) => running.process().once('exit', (code) => done(code)))
    const startedAtMs = performance.now()
    if (how === 'quit') await running.evaluate(({ app: shell }) => shell.quit()).catch(() => undefined)
    else running.process().kill('SIGTERM')
    expect(await ended).toBe(0)
    expect(performance.now() - startedAtMs).toBeLessThan(quitLimitMs)
  })
})
