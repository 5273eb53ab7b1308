/**
 * The product as a person without a display first meets it: `npm start` on an empty data folder, the printed link in a
 * browser, a text out of the embedded model, a pause, and the ledger that has grown.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { AxeBuilder } from '@axe-core/playwright'
import { expect, type Page, test } from '@playwright/test'

const root = resolve(import.meta.dirname, '../../..')
const home = mkdtempSync(join(tmpdir(), 'quiltbee-ui-'))
let child: ChildProcess
let url = ''

test.describe.configure({ mode: 'serial' })

test.beforeAll(async () => {
  const { DISPLAY: _d, WAYLAND_DISPLAY: _w, ...environment } = process.env
  child = spawn('npm', ['start', '--silent', '--', '--ui-port', '0', '--listen', '/ip4/127.0.0.1/tcp/0'], {
    cwd: root,
    env: { ...environment, QUILTBEE_HOME: home },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  url = await new Promise((printed, failed) => {
    child.once('exit', (code) => failed(new Error(`npm start ended with ${code}`)))
    if (child.stdout === null) return
    createInterface({ input: child.stdout }).on('line', (line) => {
      const link = /^Open (http:\S+)$/.exec(line)?.[1]
      if (link !== undefined) printed(link)
    })
  })
})

test.afterAll(async () => {
  const before = performance.now()
  child.kill('SIGTERM')
  // npm itself ends at once; the node behind it takes its note away as the last thing it does.
  const note = join(home, 'profiles/default/running-node.json')
  await expect.poll(() => existsSync(note), { timeout: 5_000 }).toBe(false)
  await expect.poll(() => isListening(url), { timeout: 5_000 }).toBe(false)
  expect(performance.now() - before).toBeLessThan(5_000)
  rmSync(home, { recursive: true, force: true })
})

async function isListening(address: string): Promise<boolean> {
  return await fetch(address).then(
    () => true,
    () => false,
  )
}

async function open(page: Page, screen: string): Promise<string[]> {
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  await page.goto(url)
  await page.goto(`${new URL(url).origin}/#/${screen}`)
  await page.getByRole('heading', { level: 1 }).waitFor()
  return complaints
}

async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze()
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(' | ')}`)).toEqual(
    [],
  )
}

test('without the token nothing is served', async ({ request }) => {
  const { origin } = new URL(url)
  for (const path of ['/', '/index.html', '/api', '/?token=wrong']) {
    expect((await request.get(`${origin}${path}`)).status(), path).toBe(401)
  }
})

test('the first start hosts the embedded model; it can be talked to, paused, resumed, and the ledger grows', async ({
  page,
}) => {
  const complaints = await open(page, 'dashboard')
  expect(page.url()).not.toContain('token')
  await expect(page.getByTestId('state')).toHaveText(/Giving/, { timeout: 30_000 })
  await expect(page.getByRole('heading', { name: 'You host blocks 0–7 of seedling' })).toBeVisible()
  await expectAccessible(page)

  await page.getByRole('link', { name: 'Chat' }).click()
  await page.getByRole('textbox', { name: 'Prompt' }).fill('My fellow Americans')
  await page.getByRole('button', { name: 'Generate' }).click()
  await expect(page.getByTestId('phase')).toHaveText(/Finished/, { timeout: 30_000 })
  await expect(page.getByTestId('written')).toHaveText(/.{20,}/s)
  await expect(page.getByTestId('route')).toContainText('This machine')
  await expectAccessible(page)

  await page.getByRole('banner').getByRole('button', { name: /Pause/ }).first().click()
  await expect(page.getByTestId('state')).toHaveText(/Paused · by you/)
  await page.getByRole('banner').getByRole('button', { name: 'Resume' }).click()
  await expect(page.getByTestId('state')).toHaveText(/Giving/, { timeout: 30_000 })

  await page.getByRole('link', { name: 'Ledger' }).click()
  await expect(page.getByTestId('ledger-row')).toHaveCount(1)
  await page.getByRole('button', { name: 'Verify the ledger' }).click()
  await expect(page.getByTestId('verdict')).toContainText('The ledger is intact')
  await expectAccessible(page)
  expect(complaints).toEqual([])
})

for (const colorScheme of ['light', 'dark'] as const) {
  test(`the three screens of a real node in ${colorScheme} are written to the test output`, async ({ page }) => {
    await page.emulateMedia({ colorScheme })
    await open(page, 'dashboard')
    await expect(page.getByTestId('state')).toHaveText(/Giving/)
    for (const screen of ['dashboard', 'chat', 'ledger']) {
      await open(page, screen)
      await expect(page.getByTestId('loading')).toHaveCount(0)
      await page.screenshot({ path: `test-output/screenshots/node-${screen}-${colorScheme}.png`, fullPage: true })
    }
  })
}
