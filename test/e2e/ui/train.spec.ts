/**
 * A patch's whole way between two real nodes: from a text file through the wizard to a patch that is shared; the other node
 * finds it, fetches it, and chats with it, the model alone beside it. Once with the mouse, once by keyboard alone.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AxeBuilder } from '@axe-core/playwright'
import { type Browser, expect, type Locator, type Page, test } from '@playwright/test'
import { buildIfStale } from '#launcher/build.ts'
import { createProcesses, type RunningNode } from '../processes.ts'

const processes = createProcesses()
const folder = mkdtempSync(join(tmpdir(), 'quiltbee-train-'))
const file = join(folder, 'harbour.txt')
let author: RunningNode
let reader: RunningNode

/** Small enough to train in seconds, large enough that no warning stops anyone. */
const training = { steps: '24', batch: '4' }
const patient = { timeout: 240_000 }
const soon = { timeout: 30_000 }

test.describe.configure({ mode: 'serial', timeout: 420_000 })

test.beforeAll(async () => {
  await buildIfStale('renderer')
  writeFileSync(file, harbourText())
  const home = processes.home()
  author = await processes.up(home, ['--profile', 'author'])
  reader = await processes.up(home, ['--profile', 'reader', '--bootstrap', author.address])
})

test.afterAll(async () => {
  await processes.clean()
  rmSync(folder, { recursive: true, force: true })
})

/** Paragraphs that differ, in a manner the embedded model does not have; always the same. */
function harbourText(): string {
  const ships = ['brig', 'schooner', 'ketch', 'barque', 'cutter', 'lugger', 'yawl', 'sloop']
  const winds = ['north', 'north-east', 'east', 'south-east', 'south', 'south-west', 'west', 'north-west']
  const loads = ['timber', 'salt', 'herring', 'wool', 'slate', 'barley', 'coal']
  return Array.from({ length: 240 }, (_, day) => {
    const ship = ships[(day * 5) % ships.length]
    const wind = winds[(day * 3) % winds.length]
    const load = loads[(day * 2) % loads.length]
    return `Day ${day + 1} of the harbour book. Wind from the ${wind}. The ${ship} came in at hour ${1 + (day % 11)} with ${load}, and was made fast at berth ${1 + (day % 6)}. Dues of ${3 + ((day * 7) % 40)} shillings were paid, and the keeper signed.`
  }).join('\n\n')
}

/** A browser of its own for each node: cookies do not tell ports apart. */
async function visit(browser: Browser, node: RunningNode): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage({ reducedMotion: 'reduce', viewport: { width: 1180, height: 860 } })
  const complaints: string[] = []
  // From the start: asked for only when it opens, the chooser may be too early for us.
  page.on('filechooser', (chooser) => void chooser.setFiles(file))
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  await page.goto(node.uiUrl)
  await page.getByRole('heading', { level: 1, name: 'Dashboard' }).waitFor()
  await expect(page.getByTestId('state')).toHaveText(/Giving/, soon)
  return { page, complaints }
}

async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze()
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(' | ')}`)).toEqual(
    [],
  )
}

/** Seen by axe, and written to the test output in light and dark. */
async function record(page: Page, name: string): Promise<void> {
  await page.evaluate(() => window.scrollTo(0, 0))
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.screenshot({ path: `test-output/screenshots/swarm-${name}-${colorScheme}.png`, fullPage: true })
    await expectAccessible(page)
  }
  await page.emulateMedia({ colorScheme: 'light' })
}

/** Goes on with Tab, or back with Shift and Tab, until this has the focus. */
async function tabTo(page: Page, target: Locator, key: 'Tab' | 'Shift+Tab' = 'Tab'): Promise<void> {
  await target.waitFor(soon)
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press(key)
    if (await target.evaluate((one) => one === document.activeElement)) return
  }
  throw new Error(`no Tab leads to ${target}`)
}

/** Through the three pages; ends on the page of the run. */
async function trainByMouse(page: Page, title: string): Promise<void> {
  await page.getByRole('link', { name: 'Train', exact: true }).click()
  await page.getByRole('link', { name: /^Train a patch|^Go on/ }).click()
  await page.getByRole('button', { name: 'Choose files' }).click()
  await expect(page.getByTestId('preview')).toContainText(/documents? of text/, soon)
  await record(page, 'wizard-data')
  await page.getByRole('button', { name: 'Next: method' }).click()
  await page.getByRole('slider', { name: 'How much may change' }).fill('4')
  await page.getByText('Advanced').click()
  await page.getByRole('textbox', { name: 'Steps', exact: true }).fill(training.steps)
  await page.getByRole('textbox', { name: 'Batch' }).fill(training.batch)
  await expect(page.getByTestId('plan')).toContainText(`${training.steps} steps`, soon)
  await expect(page.getByTestId('plan').getByTestId('failure')).toHaveCount(0)
  await record(page, 'wizard-method')
  await page.getByRole('button', { name: 'Next: name and limits' }).click()
  await page.getByRole('textbox', { name: 'Name of the patch' }).fill(title)
  await record(page, 'wizard-limits')
  await page.getByRole('button', { name: 'Start training' }).click()
}

async function trainByKeyboard(page: Page, title: string): Promise<void> {
  await page.keyboard.press('Alt+3')
  await expect(page.getByRole('heading', { level: 1, name: 'Train' })).toBeFocused()
  await tabTo(page, page.getByRole('link', { name: 'Train a patch' }))
  await page.keyboard.press('Enter')
  await tabTo(page, page.getByRole('button', { name: 'Choose files' }))
  await page.keyboard.press('Enter')
  await expect(page.getByTestId('preview')).toContainText(/documents? of text/, soon)
  await tabTo(page, page.getByRole('button', { name: 'Next: method' }))
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { name: '2. Method' })).toBeFocused()
  await tabTo(page, page.getByRole('slider', { name: 'How much may change' }))
  await page.keyboard.press('End')
  await tabTo(page, page.locator('summary').filter({ hasText: 'Advanced' }))
  await page.keyboard.press('Enter')
  await tabTo(page, page.getByRole('textbox', { name: 'Steps', exact: true }))
  await page.keyboard.type(training.steps)
  await tabTo(page, page.getByRole('textbox', { name: 'Batch' }))
  await page.keyboard.type(training.batch)
  await tabTo(page, page.getByRole('button', { name: 'Next: name and limits' }))
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { name: '3. Name and limits' })).toBeFocused()
  await page.keyboard.press('Tab')
  await page.keyboard.type(title)
  const start = page.getByRole('button', { name: 'Start training' })
  await expect(start).toBeEnabled(soon)
  await tabTo(page, start)
  await page.keyboard.press('Enter')
}

async function expectTrained(page: Page, title: string): Promise<Locator> {
  await expect(page.getByRole('heading', { level: 1, name: title })).toBeVisible(soon)
  await expect(page.getByRole('heading', { name: 'Finished' })).toBeVisible(patient)
  const result = page.getByTestId('result')
  await expect(result.getByTestId('metric').filter({ hasText: 'On text it has not seen' })).toContainText(
    /Better by .+ nats a token/,
  )
  await expect(result.getByTestId('metric').filter({ hasText: 'On the model’s own kind of text' })).toBeVisible()
  await expect(result.getByTestId('sample').first()).toContainText('Before')
  await expect(page.getByTestId('loss-chart')).toBeVisible()
  return result
}

async function expectComparison(page: Page, title: string): Promise<void> {
  const pair = page.getByTestId('comparison').first().getByTestId('completion')
  await expect(pair.nth(1).getByTestId('phase')).toHaveText(/Finished/, { timeout: 120_000 })
  await expect(pair.nth(0).getByTestId('made-by')).toHaveText('seedling alone')
  await expect(pair.nth(1).getByTestId('made-by')).toHaveText(`seedling with ${title}`)
  const alone = await pair.nth(0).getByTestId('written').textContent()
  await expect(pair.nth(1).getByTestId('written')).toHaveText(/.{20,}/s)
  expect(await pair.nth(1).getByTestId('written').textContent()).not.toBe(alone)
}

test('train: from a text file to a shared patch, which the other node finds, fetches and chats with', async ({
  browser,
}) => {
  const title = 'Harbour book'
  const { page, complaints } = await visit(browser, author)
  await trainByMouse(page, title)
  await expect(page.getByTestId('run-now')).toBeVisible(soon)
  await expectAccessible(page)
  const result = await expectTrained(page, title)
  await record(page, 'run')
  await result.getByRole('button', { name: 'Share', exact: true }).click()
  await expect(page.getByRole('dialog')).toContainText('Your text stays on this machine.')
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Share it' }).click()
  await expect(result.getByTestId('shared')).toBeVisible(soon)
  expect(complaints).toEqual([])

  const other = await visit(browser, reader)
  await other.page.getByRole('link', { name: 'Patches', exact: true }).click()
  await other.page.getByRole('button', { name: /^From the swarm/ }).click()
  await other.page.getByRole('button', { name: 'Search the swarm' }).click()
  const row = other.page.getByTestId('patch-row').filter({ hasText: title })
  await expect(row).toContainText('Not here yet', soon)
  await record(other.page, 'found')
  await row.getByRole('link', { name: title }).click()
  await other.page.getByRole('button', { name: `Fetch: ${title}` }).click()
  await expect(other.page.getByTestId('where')).toContainText('Fetched', soon)
  await expect(other.page.getByTestId('cloth')).toBeVisible(soon)
  await record(other.page, 'fetched')
  await other.page.getByRole('button', { name: 'Use in Chat' }).click()
  await expect(other.page.getByRole('checkbox', { name: title })).toBeChecked()
  await other.page.getByRole('checkbox', { name: /^Compare/ }).check()
  await other.page.getByRole('textbox', { name: 'Prompt' }).fill('Day 7 of the harbour book.')
  await other.page.getByRole('button', { name: 'Generate' }).click()
  await expectComparison(other.page, title)
  await record(other.page, 'compared')
  expect(other.complaints).toEqual([])
})

test('train by keyboard alone: the same way, without a mouse', async ({ browser }) => {
  const title = 'Keeper of the quay'
  const { page, complaints } = await visit(browser, author)
  await trainByKeyboard(page, title)
  const result = await expectTrained(page, title)
  await tabTo(page, result.getByRole('button', { name: 'Share', exact: true }))
  await page.keyboard.press('Enter')
  await tabTo(page, page.getByRole('button', { name: 'Share it' }))
  await page.keyboard.press('Enter')
  await expect(result.getByTestId('shared')).toBeVisible(soon)
  expect(complaints).toEqual([])

  const { page: theirs, complaints: others } = await visit(browser, reader)
  await theirs.keyboard.press('Alt+4')
  await expect(theirs.getByRole('heading', { level: 1, name: 'Patches' })).toBeFocused()
  await tabTo(theirs, theirs.getByRole('button', { name: /^From the swarm/ }))
  await theirs.keyboard.press('Enter')
  await tabTo(theirs, theirs.getByRole('button', { name: 'Search the swarm' }))
  await theirs.keyboard.press('Enter')
  await tabTo(theirs, theirs.getByRole('button', { name: `Fetch: ${title}` }))
  await theirs.keyboard.press('Enter')
  const row = theirs.getByTestId('patch-row').filter({ hasText: title })
  await expect(row).toContainText('Fetched', soon)
  await tabTo(theirs, row.getByRole('link', { name: title }))
  await theirs.keyboard.press('Enter')
  await expect(theirs.getByRole('heading', { level: 1, name: title })).toBeFocused()
  await tabTo(theirs, theirs.getByRole('button', { name: 'Use in Chat' }))
  await theirs.keyboard.press('Enter')
  await expect(theirs.getByRole('heading', { level: 1, name: 'Chat' })).toBeFocused()
  await tabTo(theirs, theirs.getByRole('checkbox', { name: /^Compare/ }))
  await theirs.keyboard.press('Space')
  await tabTo(theirs, theirs.getByRole('textbox', { name: 'Prompt' }), 'Shift+Tab')
  await theirs.keyboard.type('Day 7 of the harbour book.')
  await theirs.keyboard.press('Control+Enter')
  await expectComparison(theirs, title)
  expect(others).toEqual([])
})
