/** Patches as people see them: the list and its groups, one from close by, two compared, and texts written with them. */
import { expect, type Page, test } from '@playwright/test'
import { digestOf } from '#test/fakes/in-memory-identities.ts'
import { expectAccessible, expectSound, guard, open, settled, shoot } from './views-page.ts'

const whales = digestOf(702)
const logbook = digestOf(701)
const letters = digestOf(705)
const weather = digestOf(704)

const swarm = (page: Page) => page.getByRole('button', { name: /^From the swarm/ })

test('the two groups are accessible in light and dark and fit 320 pixels', async ({ page }) => {
  const { complaints } = await guard(page)
  await open(page, 'patches', 'hosting')
  await settled(page, 'hosting')
  await expect(page.getByTestId('patch-row')).toHaveCount(3)
  await expectSound(page)
  await shoot(page, 'patches-mine')
  await swarm(page).click()
  await expect(page.getByTestId('patch-row')).toHaveCount(3)
  await expectSound(page)
  await shoot(page, 'patches-swarm')
  expect(complaints).toEqual([])
})

for (const [name, digest] of Object.entries({ whales, logbook, letters, weather })) {
  test(`the patch "${name}" from close by is accessible in light and dark and fits 320 pixels`, async ({ page }) => {
    const { complaints } = await guard(page)
    await open(page, `patches/${digest}`, 'hosting')
    await expect(page.getByRole('heading', { name: 'Lineage' })).toBeVisible()
    await expectSound(page)
    await shoot(page, `patch-${name}`)
    expect(complaints).toEqual([])
  })
}

test('a search asks the peers, says how long, and lists what is new', async ({ page }) => {
  await open(page, 'patches', 'hosting', 60)
  await swarm(page).click()
  await page.getByRole('button', { name: 'Search the swarm' }).click()
  await expect(page.getByTestId('search')).toHaveText('Asking 3 peers, up to 5 s.')
  await expect(page.getByRole('progressbar', { name: 'Searching the swarm' })).toBeVisible()
  await expect(page.getByTestId('search')).toHaveText('1 patch on offer. Those that are new are listed.')
  await expect(page.getByTestId('patch-row').filter({ hasText: 'Sermons' })).toContainText('Not here yet')
})

test('without peers there is nobody to ask, and empty groups say what will appear', async ({ page }) => {
  await open(page, 'patches', 'alone')
  await expect(page.getByTestId('empty')).toContainText('None of your own yet')
  await swarm(page).click()
  await expect(page.getByTestId('empty')).toContainText('None heard of yet')
  await expect(page.getByRole('button', { name: 'Search the swarm' })).toBeDisabled()
  await expect(page.getByTestId('search')).toContainText('No peer in reach')
  await expectSound(page)
  await shoot(page, 'patches-empty')
})

test('a patch is fetched with progress; a peer that sends wrong bytes is named; then it can be used', async ({
  page,
}) => {
  await open(page, `patches/${weather}`, 'hosting', 250)
  await page.getByRole('button', { name: /^Fetch/ }).click()
  await expect(page.getByTestId('fetching')).toContainText('checked as it comes.')
  await expect(page.getByTestId('fetching')).toContainText('was left out: a piece did not match its digest.')
  await shoot(page, 'patch-fetching')
  await expectAccessible(page)
  await expect(page.getByTestId('where')).toContainText('Fetched', { timeout: 20_000 })
  await expect(page.getByTestId('cloth')).toBeVisible()
  await page.getByRole('button', { name: 'Use in Chat' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Chat' })).toBeFocused()
  await expect(page.getByRole('checkbox', { name: 'Weather reports' })).toBeChecked()
})

test('a fetch that fails keeps what has arrived, and a full store warns', async ({ page }) => {
  await open(page, 'patches', 'cramped')
  await expect(page.getByTestId('quota')).toContainText('Nearly full')
  await swarm(page).click()
  await page.getByRole('button', { name: 'Fetch: Weather reports' }).click()
  await expect(page.getByTestId('failure')).toContainText('The patch could not be fetched.')
  await expect(page.getByTestId('failure')).toContainText('The last peer that had it went away.')
  await expectSound(page)
  await shoot(page, 'patches-cramped')
  await page.getByRole('button', { name: 'Dismiss' }).click()
  await expect(page.getByTestId('failure')).toHaveCount(0)
})

test('the cloth has a table that says the same', async ({ page }) => {
  await open(page, `patches/${whales}`, 'hosting')
  await expect(page.getByTestId('cloth')).toHaveAccessibleName(/58 tensors changed, most of all last norm/)
  await page.getByRole('button', { name: 'View as table' }).click()
  await expect(page.getByTestId('tensor-row')).toHaveCount(58)
  await expect(page.getByTestId('tensor-row').nth(1)).toContainText('block 0, attention, query')
  await expectSound(page)
})

test('two patches are ticked and compared', async ({ page }) => {
  await open(page, 'patches', 'hosting')
  await expect(page.getByRole('button', { name: 'Compare the two' })).toBeDisabled()
  await page.getByRole('checkbox', { name: 'Compare Whale songs' }).check()
  await page.getByRole('checkbox', { name: 'Compare Logbook manner' }).check()
  await page.getByRole('button', { name: 'Compare the two' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Two patches compared' })).toBeFocused()
  await expect(page.getByTestId('diff')).toContainText('much the same direction')
  await expect(page.getByTestId('diff')).toContainText('61 %')
  await expectSound(page)
  await shoot(page, 'patches-compared')
})

test('sharing says what leaves first, and can be ended', async ({ page }) => {
  await open(page, `patches/${logbook}`, 'hosting')
  await page.getByRole('button', { name: 'Share', exact: true }).click()
  const dialog = page.getByRole('dialog')
  await expect(dialog).toContainText('Your text stays on this machine.')
  await page.keyboard.press('Enter')
  await expect(dialog).toHaveCount(0)
  await expect(page.getByTestId('where')).toContainText('not shared')
  await page.getByRole('button', { name: 'Share', exact: true }).click()
  await dialog.getByRole('button', { name: 'Share it' }).click()
  await page.getByRole('button', { name: 'Stop sharing' }).click()
  await expect(page.getByTestId('where')).toContainText('not shared')
})

test('a fetched patch that is removed can be had again; one of your own is gone, and the question says so', async ({
  page,
}) => {
  await open(page, `patches/${letters}`, 'hosting')
  await page.getByRole('button', { name: 'Remove', exact: true }).click()
  await expect(page.getByRole('dialog')).toContainText('2 peers have it too, so it can be fetched again.')
  await page.getByRole('button', { name: 'Remove it' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Patches' })).toBeFocused()
  await expect(page.getByTestId('removed')).toContainText('Removed Letters of a gardener.')
  await page.getByRole('button', { name: /^Undo: fetch it again/ }).click()
  await expect(page.getByTestId('removed')).toBeEmpty()
  await swarm(page).click()
  await expect(page.getByTestId('patch-row').filter({ hasText: 'Letters of a gardener' })).toContainText('Fetched')

  await page.goto(`/?scenario=hosting#/patches/${logbook}`)
  await page.getByRole('button', { name: 'Remove', exact: true }).click()
  await expect(page.getByRole('dialog')).toContainText('this cannot be undone')
})

test('tags are put on and taken off by keyboard, and a name that is none is refused in words', async ({ page }) => {
  await open(page, `patches/${letters}`, 'hosting')
  const field = page.getByRole('textbox', { name: 'New tag' })
  await field.focus()
  await page.keyboard.type('Not A Tag')
  await expect(page.getByText('Lower-case letters, digits')).toBeVisible()
  await expect(page.getByRole('button', { name: 'Add tag' })).toBeDisabled()
  await field.fill('spring')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('button', { name: 'Take off tag spring' })).toBeVisible()
  await expect(field).toBeFocused()
  await expect(field).toHaveValue('')
  await page.getByRole('button', { name: 'Take off tag spring' }).click()
  await expect(page.getByRole('button', { name: 'Take off tag spring' })).toHaveCount(0)
})

test('an author is followed and left again', async ({ page }) => {
  await open(page, `patches/${letters}`, 'hosting')
  await page.getByRole('button', { name: 'Stop following amber-otter' }).click()
  await page.getByRole('button', { name: 'Follow amber-otter' }).click()
  await expect(page.getByRole('button', { name: 'Stop following amber-otter' })).toBeVisible()
})

test('words and base find patches; what fits none says so', async ({ page }) => {
  await open(page, 'patches', 'hosting')
  await page.getByRole('textbox', { name: 'Find by words' }).fill('whale voyage')
  await expect(page.getByTestId('patch-row')).toHaveCount(1)
  await page.getByRole('textbox', { name: 'Find by words' }).fill('no such thing')
  await expect(page.getByTestId('empty')).toContainText('No patch fits')
  await page.getByRole('button', { name: 'Show all of them' }).click()
  await expect(page.getByTestId('patch-row')).toHaveCount(3)
})

test('a text uses the patches that are chosen, and the model alone writes it beside them with the same seed', async ({
  page,
}) => {
  await open(page, 'chat', 'hosting')
  const choice = page.getByTestId('patch-choice')
  await expect(choice.getByRole('checkbox')).toHaveCount(4)
  await choice.getByRole('checkbox', { name: 'Whale songs' }).check()
  await choice.getByRole('checkbox', { name: /^Compare/ }).check()
  await page.getByRole('textbox', { name: 'Prompt' }).fill('Once upon a time')
  await page.getByRole('button', { name: 'Generate' }).click()
  const pair = page.getByTestId('comparison').getByTestId('completion')
  await expect(pair).toHaveCount(2)
  await expect(pair.nth(1).getByTestId('phase')).toHaveText(/Finished/)
  await expect(pair.nth(0).getByTestId('made-by')).toHaveText('seedling alone')
  await expect(pair.nth(1).getByTestId('made-by')).toHaveText('seedling with Whale songs')
  await expect(pair.nth(0).getByTestId('written')).not.toContainText('the sea was calm')
  await expect(pair.nth(1).getByTestId('written')).toContainText('the sea was calm')
  for (const details of await page.getByText('Details', { exact: true }).all()) await details.click()
  const seeds = await page.getByText(/^seed \d+$/).allTextContents()
  expect(seeds).toHaveLength(2)
  expect(seeds[0]).toBe(seeds[1])
  await expectSound(page)
  await shoot(page, 'chat-compared')
})

test('stopping a comparison stops both of its texts', async ({ page }) => {
  await open(page, 'chat', 'hosting', 30)
  await page.getByRole('checkbox', { name: 'Whale songs' }).check()
  await page.getByRole('checkbox', { name: /^Compare/ }).check()
  await page.getByRole('button', { name: 'Generate' }).click()
  const phases = page.getByTestId('comparison').getByTestId('phase')
  await expect(phases.nth(1)).toHaveText('Waits for the text without patches')
  await expect(page.getByTestId('written').first()).toContainText('bee')
  await page.keyboard.press('Escape')
  await expect(phases).toHaveText(['Stopped by you', 'Stopped by you'])
  await expect(page.getByRole('button', { name: 'Generate' })).toBeEnabled()
})

test('hostile words of patches are only ever text', async ({ page }) => {
  const { complaints } = await guard(page)
  await open(page, `patches/${letters}`, 'hostile')
  await expect(page.getByRole('heading', { level: 1 })).toContainText('<img src=x')
  await expectSound(page)
  await open(page, 'chat', 'hostile')
  await expect(page.getByTestId('patch-choice')).toContainText('<img src=x')
  await expectSound(page)
  expect(await page.locator('main img, main script').count()).toBe(0)
  expect(complaints).toEqual([])
})

test('a patch that is not here says so and leads back', async ({ page }) => {
  await open(page, `patches/${digestOf(999)}`, 'hosting')
  await expect(page.getByTestId('empty')).toContainText('This patch is not here')
  await page.getByRole('link', { name: 'See the patches that are' }).click()
  await expect(page.getByTestId('patch-row')).toHaveCount(3)
})
