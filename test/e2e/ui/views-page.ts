/** What the tests of the views share: opening a screen in a situation, and what holds on every page. */
import { AxeBuilder } from '@axe-core/playwright'
import { expect, type Page } from '@playwright/test'
import type { ScenarioName } from '#test/fakes/in-memory-node-scenarios.ts'

export type Screen = 'dashboard' | 'chat' | 'train' | 'patches' | 'ledger'

export const screens: readonly Screen[] = ['dashboard', 'chat', 'train', 'patches', 'ledger']
export const titles: Readonly<Record<Screen, string>> = {
  dashboard: 'Dashboard',
  chat: 'Chat',
  train: 'Train',
  patches: 'Patches',
  ledger: 'Ledger',
}

/** What must never happen on any page: broken policy, errors, requests to elsewhere. */
export async function guard(page: Page): Promise<{ complaints: string[] }> {
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`))
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`console: ${message.text()}`)
  })
  page.on('request', (request) => {
    if (!request.url().startsWith('http://127.0.0.1:5174/')) complaints.push(`request: ${request.url()}`)
  })
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  await page.exposeFunction('complain', (what: string) => complaints.push(what))
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      const { complain } = window as unknown as { complain: (what: string) => void }
      complain(`policy: ${event.violatedDirective} ${event.blockedURI}`)
    })
  })
  return { complaints }
}

export async function open(
  page: Page,
  screen: Screen | `${Screen}/${string}`,
  scenario: ScenarioName,
  pace = 2,
): Promise<void> {
  await page.goto(`/?scenario=${scenario}&pace=${pace}#/${screen}`)
  await page.getByRole('heading', { level: 1 }).waitFor()
}

/** Nothing is still being asked for: what is on the page is what the situation shows. */
export async function settled(page: Page, scenario: ScenarioName): Promise<void> {
  if (scenario === 'silent') await expect(page.getByTestId('loading').first()).toBeVisible()
  else await expect(page.getByTestId('loading')).toHaveCount(0)
}

export async function expectAccessible(page: Page, rules?: string[]): Promise<void> {
  const axe = new AxeBuilder({ page }).withTags([
    'wcag2a',
    'wcag2aa',
    'wcag21a',
    'wcag21aa',
    'wcag22aa',
    'best-practice',
  ])
  // Without legacy mode axe opens a second page for each run.
  const { violations } = await (rules === undefined ? axe : axe.withRules(rules)).setLegacyMode().analyze()
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(' | ')}`)
  expect(found).toEqual([])
}

export async function expectNoSidewaysScroll(page: Page): Promise<void> {
  const width = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  expect(width).toBe(0)
}

/** Seen by axe in light and dark, and squeezed to 320 pixels; the window is wide and light again afterwards. */
export async function expectSound(page: Page): Promise<void> {
  await expectAccessible(page)
  await page.emulateMedia({ colorScheme: 'dark' })
  await expectAccessible(page, ['color-contrast'])
  await page.setViewportSize({ width: 320, height: 640 })
  await expectNoSidewaysScroll(page)
  await page.emulateMedia({ colorScheme: 'light' })
  await page.setViewportSize({ width: 1180, height: 860 })
}

/** The same page in light and dark, whole, for people to look at. */
export async function shoot(page: Page, name: string): Promise<void> {
  await page.mouse.move(0, 0)
  await page.evaluate(() => window.scrollTo(0, 0))
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.screenshot({ path: `test-output/screenshots/${name}-${colorScheme}.png`, fullPage: true })
  }
  await page.emulateMedia({ colorScheme: 'light' })
}
