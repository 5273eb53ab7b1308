/**
 * Every screen in every situation, on an in-memory node, under the content security policy that the shells send: seen by
 * axe in light and dark, worked by keyboard alone, fed hostile text, and squeezed to 320 pixels.
 */
import { expect, type Page, test } from '@playwright/test'
import { contentSecurityPolicy } from '#app/content-security-policy.ts'
import { type ScenarioName, scenarioNames } from '#test/fakes/in-memory-node-scenarios.ts'
import {
  expectAccessible,
  expectNoSidewaysScroll,
  guard,
  open,
  type Screen,
  screens,
  settled,
  titles,
} from './views-page.ts'

/** Situations that look alike on the other screens are checked on the one they change. */
const onlyOn: Partial<Record<ScenarioName, readonly Screen[]>> = {
  starting: ['dashboard', 'chat'],
  paused: ['dashboard', 'chat'],
  'no-model': ['dashboard', 'chat'],
  failed: ['dashboard', 'chat'],
  gpu: ['dashboard'],
  unknown: ['dashboard'],
  loading: ['dashboard'],
  measuring: ['dashboard'],
  'engine-restarting': ['dashboard'],
  'engine-failed': ['dashboard'],
  'engine-chosen': ['dashboard'],
  unmeasured: ['dashboard'],
  'on-battery': ['dashboard'],
  'short-of-memory': ['dashboard'],
  'many-peers': ['dashboard'],
  failover: ['chat'],
  careless: ['train'],
  unreadable: ['train'],
  cramped: ['patches'],
  'lost-blocks': ['chat'],
  'broken-ledger': ['ledger'],
  'old-version': ['dashboard'],
}

async function generate(page: Page, prompt: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Prompt' }).fill(prompt)
  await page.getByRole('button', { name: 'Generate' }).click()
}

/** Chats in these situations are about what comes back. */
const talkative: readonly ScenarioName[] = ['failover', 'lost-blocks', 'hostile']

for (const scenario of scenarioNames) {
  test(`"${scenario}" is accessible in light and dark, breaks no policy and fits 320 pixels`, async ({ page }) => {
    const { complaints } = await guard(page)
    for (const screen of onlyOn[scenario] ?? screens) {
      await page.emulateMedia({ colorScheme: 'light' })
      await page.setViewportSize({ width: 1180, height: 860 })
      await open(page, screen, scenario)
      await settled(page, scenario)
      if (screen === 'chat' && talkative.includes(scenario)) {
        await generate(page, 'Once')
        await expect(page.getByTestId('phase')).toHaveText(/Finished|Not finished/)
      }
      await expectAccessible(page)
      await page.emulateMedia({ colorScheme: 'dark' })
      await expectAccessible(page, ['color-contrast'])
      await page.setViewportSize({ width: 320, height: 640 })
      await expectNoSidewaysScroll(page)
    }
    expect(complaints).toEqual([])
  })
}

for (const colorScheme of ['light', 'dark'] as const) {
  test(`the screens in ${colorScheme} are written to the test output`, async ({ page }) => {
    await page.emulateMedia({ colorScheme })
    for (const screen of screens) {
      await open(page, screen, screen === 'chat' ? 'failover' : 'hosting')
      await settled(page, 'hosting')
      if (screen === 'chat') {
        await generate(page, 'Once upon a time')
        await expect(page.getByTestId('phase')).toHaveText(/Finished/)
      }
      await page.mouse.move(0, 0)
      await page.screenshot({ path: `test-output/screenshots/${screen}-${colorScheme}.png` })
    }
  })
}

test('everything can be done by keyboard: navigate, generate, stop, pause, resume, verify', async ({ page }) => {
  await open(page, 'dashboard', 'hosting', 15)
  await settled(page, 'hosting')

  await page.keyboard.press('Tab')
  await expect(page.getByRole('button', { name: 'Skip to content' })).toBeFocused()
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { level: 1 })).toBeFocused()

  await page.keyboard.press('Alt+2')
  await expect(page.getByRole('heading', { level: 1, name: 'Chat' })).toBeFocused()
  await page.keyboard.press('Tab')
  await expect(page.getByRole('textbox', { name: 'Prompt' })).toBeFocused()
  await page.keyboard.type('Is this a test?')
  await expect(page.getByRole('dialog')).toHaveCount(0)
  await page.keyboard.press('Control+Enter')
  await expect(page.getByTestId('written')).toContainText('bee')
  await page.keyboard.press('Escape')
  await expect(page.getByTestId('phase')).toHaveText('Stopped by you')
  await expect(page.getByTestId('written')).toContainText('bee')

  await page.keyboard.press('Control+Shift+P')
  await expect(page.getByTestId('state')).toHaveText(/Paused · by you/)
  await page.keyboard.press('Alt+Shift+P')
  await expect(page.getByTestId('state')).toHaveText(/Giving/)

  await page.keyboard.press('Control+5')
  await expect(page.getByRole('heading', { level: 1, name: 'Ledger' })).toBeFocused()
  await expect(page.getByTestId('ledger-row').first()).toBeVisible()
  for (let presses = 0; presses < 6; presses += 1) {
    await page.keyboard.press('Tab')
    if (await page.getByRole('button', { name: 'Verify the ledger' }).evaluate((one) => one === document.activeElement))
      break
  }
  await page.keyboard.press('Enter')
  await expect(page.getByTestId('verdict')).toContainText('The ledger is intact')

  await page.keyboard.press('?')
  await expect(page.getByRole('dialog', { name: 'Keyboard shortcuts' })).toBeVisible()
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await expect(page.getByRole('dialog')).toHaveCount(0)
})

async function openEngines(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Compare and choose' }).click()
  await expect(page.getByRole('dialog', { name: 'Engines of this machine' })).toBeVisible()
}

for (const scenario of ['hosting', 'unmeasured', 'engine-chosen', 'failing', 'hostile'] as const) {
  test(`the engines of "${scenario}" are accessible in light and dark and fit 320 pixels`, async ({ page }) => {
    const { complaints } = await guard(page)
    await open(page, 'dashboard', scenario)
    await openEngines(page)
    await settled(page, scenario)
    await expectAccessible(page)
    await page.emulateMedia({ colorScheme: 'dark' })
    await expectAccessible(page, ['color-contrast'])
    await page.setViewportSize({ width: 320, height: 640 })
    await expectNoSidewaysScroll(page)
    const overflow = await page.getByRole('dialog').evaluate((dialog) => dialog.scrollWidth - dialog.clientWidth)
    expect(overflow).toBe(0)
    expect(complaints).toEqual([])
  })
}

for (const colorScheme of ['light', 'dark'] as const) {
  test(`the engines in ${colorScheme} are written to the test output`, async ({ page }) => {
    await page.emulateMedia({ colorScheme })
    const shots = ['hosting', 'unmeasured', 'measuring', 'engine-restarting', 'engine-failed', 'engine-chosen'] as const
    for (const scenario of shots) {
      await open(page, 'dashboard', scenario)
      await settled(page, scenario)
      const path = `test-output/screenshots/engine-${scenario}-${colorScheme}`
      await page.screenshot({ path: `${path}.png`, fullPage: true })
      if (!['hosting', 'unmeasured'].includes(scenario)) continue
      await openEngines(page)
      await page.getByRole('dialog').screenshot({ path: `${path}-dialog.png` })
    }
    await page.setViewportSize({ width: 320, height: 640 })
    await open(page, 'dashboard', 'hosting')
    await openEngines(page)
    await page.screenshot({ path: `test-output/screenshots/engine-narrow-${colorScheme}.png` })
  })
}

test('the engine in use is named with its speed and the reason, by keyboard compared, chosen, and left to itself again', async ({
  page,
}) => {
  await open(page, 'dashboard', 'hosting')
  const card = page.getByTestId('engine')
  await expect(card).toContainText('ONNX Runtime on the processor, 8-bit weights (int8)')
  await expect(card).toContainText('about 31 words a second')
  await page.getByRole('button', { name: 'Compare and choose' }).focus()
  await page.keyboard.press('Enter')
  const dialog = page.getByRole('dialog')
  await expect(dialog.getByTestId('engine-row').filter({ hasText: 'in use' })).toContainText('int8')
  await expect(dialog).toContainText('The optional package @tensorflow/tfjs-node-gpu is not installed.')

  const choice = dialog.getByRole('combobox', { name: 'What to use' })
  const use = dialog.getByRole('button', { name: 'Use it' })
  await expect(use).toBeDisabled()
  await choice.selectOption('tfjs-wasm float32')
  await choice.focus()
  await page.keyboard.press('Tab')
  await expect(use).toBeFocused()
  await page.keyboard.press('Enter')
  await expect(dialog.getByTestId('chosen')).toContainText('TensorFlow.js in WebAssembly with exact weights')
  await expect(dialog.getByTestId('engine-row').filter({ hasText: 'in use' })).toContainText('TensorFlow.js')
  await choice.selectOption('')
  await use.click()
  await expect(dialog.getByTestId('chosen')).toHaveText('What was measured decides again.')
  await page.keyboard.press('Escape')
  await expect(dialog).toHaveCount(0)
  await expect(page.getByRole('button', { name: 'Compare and choose' })).toBeFocused()
  await expect(card).toContainText('8-bit weights (int8)')
})

test('engines are measured with progress, and a measurement can be stopped', async ({ page }) => {
  await open(page, 'dashboard', 'unmeasured', 60)
  await expect(page.getByTestId('engine')).toContainText('The model is small')
  await openEngines(page)
  const dialog = page.getByRole('dialog')
  await expect(dialog.getByTestId('empty')).toContainText('No figures yet')
  await dialog.getByRole('button', { name: 'Measure now' }).click()
  await expect(dialog.getByRole('progressbar', { name: 'Measured' })).toBeVisible()
  await expect(dialog).toContainText('2 of 7: ONNX Runtime, 16-bit weights (float16)')
  await dialog.getByRole('button', { name: 'Stop measuring' }).click()
  await expect(dialog.getByTestId('measured')).toHaveText(/^Stopped\./)
  await dialog.getByRole('button', { name: 'Measure now' }).click()
  await expect(dialog.getByTestId('measured')).toHaveText(/^Measured\./)
  await expect(dialog.getByTestId('engine-row')).toHaveCount(7)
})

test('while its engines are measured the dashboard says how far that is', async ({ page }) => {
  await open(page, 'dashboard', 'measuring')
  await expect(page.getByRole('heading', { name: 'Measuring what this machine computes with best' })).toBeVisible()
  await expect(page.getByRole('main')).toContainText('2 of 7 ways to run seedling tried.')
  await expect(page.getByTestId('state')).toHaveText(/Measuring · 2 of 7 ways/)
})

test('out of reach of its node the page keeps what it knows of engines and changes nothing', async ({ page }) => {
  await open(page, 'dashboard', 'hosting')
  await expect(page.getByTestId('engine')).toContainText('about 31 words a second')
  await page.evaluate('views.lose()')
  await expect(page.getByRole('alert')).toBeVisible()
  await openEngines(page)
  await expect(page.getByTestId('engine-row')).toHaveCount(7)
  await expect(page.getByRole('button', { name: 'Measure again' })).toBeDisabled()
})

test('a pause can be given a length and is ended from either place', async ({ page }) => {
  await open(page, 'dashboard', 'hosting')
  await page.getByRole('button', { name: 'Pause for 15 min' }).click()
  await expect(page.getByRole('heading', { name: /^Paused until \d\d:\d\d$/ })).toBeVisible()
  await page.getByRole('main').getByRole('button', { name: 'Resume' }).click()
  await expect(page.getByRole('heading', { name: 'You host blocks 0–3 of seedling' })).toBeVisible()
  await page.getByRole('button', { name: 'Pause until I resume' }).click()
  await page.getByRole('banner').getByRole('button', { name: 'Resume' }).click()
  await expect(page.getByTestId('state')).toHaveText(/Giving/)
})

test('a failover is told, the text goes on, and the peers on the route are named', async ({ page }) => {
  await open(page, 'chat', 'failover')
  await generate(page, 'Once')
  await expect(page.getByTestId('failover')).toContainText(
    'amber-otter stopped answering; birch-finch (blocks 4–7) took over',
  )
  await expect(page.getByTestId('route')).toContainText('This machine blocks 0–3')
  await expect(page.getByTestId('privacy')).toBeVisible()
  await expect(page.getByTestId('speed')).toHaveText('128 tokens, 31.5 tokens/s')
  await page.getByRole('button', { name: 'Continue from here' }).click()
  await expect(page.getByRole('textbox', { name: 'Prompt' })).toHaveValue(/^Once there was a little bee/)
})

test('only this machine’s blocks: no remote route and no privacy note', async ({ page }) => {
  await open(page, 'chat', 'hosting')
  await page.getByRole('checkbox', { name: 'Only this machine’s blocks' }).check()
  await generate(page, 'Once')
  await expect(page.getByTestId('phase')).toHaveText(/Finished/)
  await expect(page.getByTestId('privacy')).toHaveCount(0)
})

test('text that had arrived is kept when the blocks go missing', async ({ page }) => {
  await open(page, 'chat', 'lost-blocks')
  await generate(page, 'Once')
  await expect(page.getByTestId('failure')).toContainText('Nobody in reach holds blocks 4–7.')
  await expect(page.getByTestId('written')).toContainText('there was a little bee')
})

test('a setting that does not fit is named and nothing is sent', async ({ page }) => {
  await open(page, 'chat', 'hosting')
  await page.getByText('Settings').click()
  await page.getByRole('textbox', { name: 'Max tokens' }).fill('0')
  await expect(page.getByText('To generate, correct max tokens under Settings.')).toBeVisible()
  await expect(page.getByRole('button', { name: 'Generate' })).toBeDisabled()
})

test('the ledger pages, filters, and grows while it is open', async ({ page }) => {
  await open(page, 'ledger', 'hosting')
  await expect(page.getByTestId('ledger-row')).toHaveCount(50)
  await page.getByRole('button', { name: 'Load older' }).click()
  await expect(page.getByTestId('ledger-row')).toHaveCount(100)
  await page.keyboard.press('Alt+2')
  await generate(page, 'Once')
  await expect(page.getByTestId('phase')).toHaveText(/Finished/)
  await page.keyboard.press('Alt+5')
  await expect(page.getByTestId('ledger-row')).toHaveCount(102)
  await page.getByRole('button', { name: 'Served' }).click()
  await expect(page.getByRole('cell', { name: 'Used', exact: true })).toHaveCount(0)
  await expect(page.getByRole('cell', { name: 'Served', exact: true }).first()).toBeVisible()
})

test('a broken ledger is named by its first bad entry', async ({ page }) => {
  await open(page, 'ledger', 'broken-ledger')
  await page.getByRole('button', { name: 'Verify the ledger' }).click()
  await expect(page.getByTestId('verdict')).toContainText('broken at entry 8')
  await expect(page.getByTestId('verdict')).toContainText('Entries 0 to 7 hold.')
  await expectAccessible(page)
})

test('a lost connection is announced, data stays, and the page comes back by itself', async ({ page }) => {
  await open(page, 'dashboard', 'hosting')
  await expect(page.getByTestId('quilt')).toBeVisible()
  await page.evaluate('views.lose()')
  await expect(page.getByRole('alert')).toContainText('Connection to your node lost. Trying again.')
  await expect(page.getByTestId('quilt')).toBeVisible()
  await expect(page.getByRole('banner').getByRole('button', { name: 'Pause' })).toBeDisabled()
  await expectAccessible(page)
  await page.evaluate('views.restore()')
  await page.getByRole('button', { name: 'Try now' }).click()
  await expect(page.getByRole('alert')).toHaveCount(0)
  await expect(page.getByRole('banner').getByRole('button', { name: 'Pause' })).toBeEnabled()
})

test('a generation cut by a lost connection keeps its text', async ({ page }) => {
  await open(page, 'chat', 'hosting', 20)
  await generate(page, 'Once')
  await expect(page.getByTestId('written')).toContainText('bee')
  await page.evaluate('views.lose()')
  await expect(page.getByTestId('failure')).toContainText('The connection to your node was lost.')
  await expect(page.getByTestId('written')).toContainText('bee')
})

test('a node of another version gets a page of its own', async ({ page }) => {
  await open(page, 'dashboard', 'old-version')
  await expect(page.getByRole('heading', { name: 'Restart to update' })).toBeVisible()
})

test('text from peers and models is only ever text', async ({ page }) => {
  const { complaints } = await guard(page)
  await open(page, 'dashboard', 'hostile')
  await expect(page.getByText('<img src=x').first()).toBeVisible()
  await page.keyboard.press('Alt+2')
  await generate(page, '<b>bold</b>')
  await expect(page.getByTestId('phase')).toHaveText(/Finished/)
  await expect(page.getByTestId('written')).toContainText('<script>alert(2)</script>')
  expect(await page.locator('main img, main script, main b').count()).toBe(0)
  expect(complaints).toEqual([])
})

test('the quilt has a table that says the same', async ({ page }) => {
  await open(page, 'dashboard', 'hosting')
  await expect(page.getByTestId('quilt')).toHaveAccessibleName(/quilt of 8 blocks\. You hold blocks 0–3\./)
  await page.getByRole('button', { name: 'View as table' }).click()
  const rows = page.getByRole('region', { name: 'Blocks of the model' }).getByRole('row')
  await expect(rows).toHaveCount(9)
  await expect(rows.nth(3)).toHaveText(/2\s*2 holders\s*you, birch-finch/)
})

test('targets are at least 24 pixels, and 200 % zoom needs no sideways scrolling', async ({ page }) => {
  await page.setViewportSize({ width: 590, height: 430 })
  for (const screen of screens) {
    await open(page, screen, 'hosting')
    await settled(page, 'hosting')
    await expectNoSidewaysScroll(page)
    const small = await page
      .locator('button:visible, nav a:visible, summary:visible')
      .evaluateAll((all) =>
        all
          .map((one) => ({ name: one.textContent, ...one.getBoundingClientRect().toJSON() }))
          .filter(({ width, height }) => width < 24 || height < 24),
      )
    expect(small).toEqual([])
    await expect(page.getByRole('heading', { level: 1, name: titles[screen] })).toBeVisible()
  }
})

test('an idle page asks its node for nothing', async ({ page }) => {
  await page.addInitScript(() => {
    const counts = { posts: 0 }
    const post = MessagePort.prototype.postMessage
    MessagePort.prototype.postMessage = function (this: MessagePort, ...given: Parameters<MessagePort['postMessage']>) {
      counts.posts += 1
      post.apply(this, given)
    } as MessagePort['postMessage']
    Object.assign(window, { counts })
  })
  await open(page, 'dashboard', 'hosting')
  await settled(page, 'hosting')
  await page.clock.install()
  const before = await page.evaluate('counts.posts')
  await page.clock.runFor(120_000)
  expect(await page.evaluate('counts.posts')).toBe(before)
})

test('the product’s own bundle keeps the policy and says when no node answers', async ({ page }) => {
  const { complaints } = await guard(page)
  await page.route('**/product/**', async (route) => {
    const name = new URL(route.request().url()).pathname.replace('/product/', '') || 'index.html'
    await route.fulfill({
      path: `dist/renderer/${name}`,
      headers: { 'content-security-policy': contentSecurityPolicy() },
    })
  })
  await page.goto('/product/#/chat')
  await expect(page.getByRole('alert')).toContainText('Your node cannot be reached. Trying again.')
  await expect(page.getByRole('alert')).toContainText('its access token is new too')
  await expect(page.getByRole('heading', { level: 1, name: 'Chat' })).toBeVisible()
  await expectAccessible(page)
  expect(complaints.filter((complaint) => !complaint.includes('WebSocket connection'))).toEqual([])
})

test('the product’s own bundle holds no fake and nothing inline', async () => {
  const { readFile, readdir } = await import('node:fs/promises')
  const html = await readFile('dist/renderer/index.html', 'utf8')
  expect(html).not.toMatch(/<style|style=|<script(?![^>]*\bsrc=)/)
  expect(html).not.toMatch(/(src|href)="\//)
  for (const name of await readdir('dist/renderer/assets')) {
    expect(await readFile(`dist/renderer/assets/${name}`, 'utf8')).not.toContain('amber-otter')
  }
})
