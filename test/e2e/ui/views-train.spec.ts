/** Training as its owner sees it: the wizard from an empty page to a run, a run in every state, and what came of it. */
import { expect, type Locator, type Page, test } from '@playwright/test'
import { runIds } from '#test/fakes/in-memory-node-training.ts'
import { expectAccessible, expectSound, guard, open, settled, shoot } from './views-page.ts'

const letters = Array.from(
  { length: 60 },
  (_, at) => `Dear sister, this is letter number ${at + 1}. The sea was calm and the wind in the west.`,
).join('\n\n')

/** Answers the chooser from the start: asked for only when it opens, it may be too late for a key press. */
function answerChooser(page: Page, text = letters): void {
  const file = { name: 'letters.txt', mimeType: 'text/plain', buffer: Buffer.from(text) }
  page.on('filechooser', (chooser) => void chooser.setFiles(file))
}

async function addText(page: Page, text = letters): Promise<void> {
  answerChooser(page, text)
  await page.getByRole('button', { name: 'Choose files' }).click()
}

async function toMethod(page: Page): Promise<void> {
  await addText(page)
  await expect(page.getByTestId('preview')).toContainText('60 documents of text.')
  await page.getByRole('button', { name: 'Next: method' }).click()
  await expect(page.getByRole('heading', { name: '2. Method' })).toBeFocused()
}

for (const [state, id] of Object.entries(runIds)) {
  test(`a run that is "${state}" is accessible in light and dark and fits 320 pixels`, async ({ page }) => {
    const { complaints } = await guard(page)
    await open(page, `train/${id}`, 'hosting')
    await expect(page.getByTestId('run-now')).toBeVisible()
    await settled(page, 'hosting')
    await expectSound(page)
    await shoot(page, `run-${state}`)
    expect(complaints).toEqual([])
  })
}

test('without a run the screen says what a patch is and offers to train one', async ({ page }) => {
  await open(page, 'train', 'alone')
  await expect(page.getByTestId('empty')).toContainText('A patch is a small change to a model')
  await shoot(page, 'train-empty')
  await page.getByRole('link', { name: 'Train a patch' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Train a patch' })).toBeFocused()
  await expect(page.getByRole('button', { name: 'Next: method' })).toBeDisabled()
})

test('from a text to a finished patch, every page accessible and fit for 320 pixels', async ({ page }) => {
  const { complaints } = await guard(page)
  await open(page, 'train/new', 'hosting')
  await expectSound(page)
  await addText(page)
  await expect(page.getByTestId('upload')).toContainText('letters.txt')
  await expect(page.getByTestId('preview')).toContainText('60 documents of text.')
  await expect(page.getByRole('main')).toContainText('54 examples')
  await expect(page.getByText('Your text stays on this machine.')).toBeVisible()
  await page.getByText('Describe the text').click()
  await page.getByRole('textbox', { name: 'What the text is' }).fill('Letters of mine')
  await expectSound(page)
  await shoot(page, 'wizard-data')

  await page.getByRole('button', { name: 'Next: method' }).click()
  const plan = page.getByTestId('plan')
  await expect(plan).toContainText('8,692 numbers trained')
  await page.getByRole('slider', { name: 'How much may change' }).fill('4')
  await expect(plan).toContainText('34,767 numbers trained')
  await page.getByRole('radio', { name: /By text it writes itself/ }).check()
  await page.getByText('Advanced').click()
  await page.getByRole('textbox', { name: 'Steps', exact: true }).fill('200')
  await expect(plan).toContainText('200 steps')
  await expectSound(page)
  await shoot(page, 'wizard-method')

  await page.getByRole('button', { name: 'Next: name and limits' }).click()
  await expect(page.getByRole('button', { name: 'Start training' })).toBeDisabled()
  await page.getByRole('textbox', { name: 'Name of the patch' }).fill('Letters')
  await expectSound(page)
  await shoot(page, 'wizard-limits')
  await page.getByRole('button', { name: 'Start training' }).click()

  await expect(page.getByRole('heading', { level: 1, name: 'Letters' })).toBeFocused()
  await expect(page.getByRole('heading', { name: 'Finished' })).toBeVisible()
  const result = page.getByTestId('result')
  await expect(result.getByTestId('metric').first()).toContainText('Better by 0.67 (0.63 to 0.71) nats a token')
  await expect(result.getByTestId('metric').nth(1)).toContainText('Forgot: 0.15 (0.13 to 0.17) nats a token')
  await expect(result.getByTestId('sample')).toHaveCount(2)
  await result.getByRole('button', { name: 'Share', exact: true }).click()
  const dialog = page.getByRole('dialog', { name: 'Share this patch with the swarm?' })
  await expect(dialog).toContainText('Your text stays on this machine.')
  await expect(dialog).toContainText('can tell something about the text')
  await expectAccessible(page)
  await shoot(page, 'run-share')
  await dialog.getByRole('button', { name: 'Share it' }).click()
  await expect(result.getByTestId('shared')).toBeVisible()
  await result.getByRole('link', { name: 'Show in Patches' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Letters' })).toBeFocused()
  expect(complaints).toEqual([])
})

test('what was typed outlives Back and a look at another screen, and is gone after starting over', async ({ page }) => {
  await open(page, 'train/new', 'hosting')
  await toMethod(page)
  await page.getByRole('radio', { name: /Turn the model’s signals up and down/ }).check()
  await page.getByRole('button', { name: 'Back' }).click()
  await expect(page.getByRole('heading', { name: '1. Text and model' })).toBeFocused()
  await expect(page.getByTestId('upload')).toContainText('letters.txt')
  await expect(page.getByTestId('preview')).toBeVisible()
  await page.keyboard.press('Alt+2')
  await expect(page.getByRole('heading', { level: 1, name: 'Chat' })).toBeFocused()
  await page.keyboard.press('Alt+3')
  await page.getByRole('link', { name: 'Go on with what you began' }).click()
  await expect(page.getByTestId('preview')).toBeVisible()
  await page.getByRole('button', { name: 'Next: method' }).click()
  await expect(page.getByRole('radio', { name: /Turn the model’s signals up and down/ })).toBeChecked()
  await expect(page.getByRole('slider')).toHaveCount(0)
  await page.getByRole('button', { name: 'Start over' }).click()
  await expect(page.getByTestId('upload')).toHaveCount(0)
  await expect(page.getByRole('button', { name: 'Next: method' })).toBeDisabled()
})

/** Goes on with Tab until this has the focus. */
async function tabTo(page: Page, target: Locator): Promise<void> {
  await target.waitFor()
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press('Tab')
    if (await target.evaluate((one) => one === document.activeElement)) return
  }
  throw new Error(`no Tab leads to ${target}`)
}

test('by keyboard alone: a text is chosen, a method, a name, and the run is paused, resumed and finished', async ({
  page,
}) => {
  answerChooser(page)
  const act = (name: string) => page.getByTestId('run-now').getByRole('button', { name, exact: true })
  await open(page, 'dashboard', 'hosting', 25)
  await settled(page, 'hosting')
  await page.keyboard.press('Alt+3')
  await expect(page.getByRole('heading', { level: 1, name: 'Train' })).toBeFocused()
  await tabTo(page, page.getByRole('link', { name: 'Train a patch' }))
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { level: 1, name: 'Train a patch' })).toBeFocused()
  await tabTo(page, page.getByRole('button', { name: 'Choose files' }))
  await page.keyboard.press('Enter')
  await expect(page.getByTestId('preview')).toBeVisible()
  await tabTo(page, page.getByRole('button', { name: 'Next: method' }))
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { name: '2. Method' })).toBeFocused()
  await page.keyboard.press('Tab')
  await page.keyboard.press('ArrowDown')
  await expect(page.getByRole('radio', { name: /Turn the model’s signals/ })).toBeChecked()
  await page.keyboard.press('ArrowUp')
  await tabTo(page, page.getByRole('slider'))
  await page.keyboard.press('ArrowLeft')
  await expect(page.getByRole('slider')).toHaveAttribute('aria-valuetext', '0.2 % of the model’s numbers')
  await tabTo(page, page.getByRole('button', { name: 'Next: name and limits' }))
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { name: '3. Name and limits' })).toBeFocused()
  await page.keyboard.press('Tab')
  await page.keyboard.type('Letters')
  await tabTo(page, page.getByRole('button', { name: 'Start training' }))
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { level: 1, name: 'Letters' })).toBeFocused()
  await expect(page.getByRole('heading', { name: 'Training', exact: true })).toBeVisible()
  await tabTo(page, act('Pause'))
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { name: /^Paused by you at step \d+ of 400$/ })).toBeFocused()
  await tabTo(page, act('Resume'))
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { name: 'Training', exact: true })).toBeFocused()
  await tabTo(page, act('Finish now'))
  await page.keyboard.press('Enter')
  await expect(page.getByTestId('result')).toBeVisible()
  await expect(page.getByRole('heading', { name: 'Finished' })).toBeVisible()
})

test('a text with every fault is told apart in plain words, each with what to do', async ({ page }) => {
  await open(page, 'train/new', 'careless')
  await addText(page, `${letters}\n\nWrite to me: ann@example.org`)
  await expect(page.getByTestId('warning')).toHaveCount(11)
  await expect(page.getByTestId('warning').filter({ hasText: 'E-mail addresses: 1 place' })).toContainText(
    'A model may repeat what it was trained on.',
  )
  await expectSound(page)
  await shoot(page, 'wizard-warnings')
  await expect(page.getByRole('button', { name: 'Next: method' })).toBeEnabled()
})

test('a text that cannot be read says where, and can be read again', async ({ page }) => {
  await open(page, 'train/new', 'unreadable')
  await addText(page)
  await expect(page.getByTestId('failure')).toContainText('In letters.jsonl, line 4: it is no JSON.')
  await expectSound(page)
  await shoot(page, 'wizard-unreadable')
  await page.getByRole('button', { name: 'Read again' }).click()
  await expect(page.getByTestId('failure')).toBeVisible()
  await page.getByRole('button', { name: 'Take out letters.txt' }).click()
  await expect(page.getByRole('button', { name: 'Choose files' })).toBeFocused()
  await expect(page.getByTestId('failure')).toHaveCount(0)
})

test('files that are empty or too large are named as such and not handed over', async ({ page }) => {
  await open(page, 'train/new', 'hosting')
  await addText(page, '')
  await expect(page.getByTestId('upload')).toContainText('The file is empty.')
  await page.getByText('Name a file by its path').click()
  await page.getByRole('textbox', { name: 'Path of a file' }).fill('/home/you/large.txt')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(page.getByTestId('upload')).toHaveCount(2)
  await expect(page.getByRole('button', { name: 'Next: method' })).toBeDisabled()
  await page.getByRole('button', { name: 'Take out letters.txt' }).click()
  await expect(page.getByTestId('preview')).toBeVisible()
})

test('a plan that does not fit says why, and nothing starts until it does', async ({ page }) => {
  await open(page, 'train/new', 'cramped')
  await toMethod(page)
  await expect(page.getByTestId('failure')).toContainText('This would take more than this machine lends.')
  await expectSound(page)
  await shoot(page, 'wizard-obstacle')
  await page.getByRole('button', { name: 'Next: name and limits' }).click()
  await page.getByRole('textbox', { name: 'Name of the patch' }).fill('Letters')
  await expect(page.getByRole('button', { name: 'Start training' })).toBeDisabled()
  await page.getByRole('button', { name: 'Back' }).click()
  await page.getByText('Advanced').click()
  await page.getByRole('textbox', { name: 'Batch' }).fill('1')
  await expect(page.getByTestId('failure')).toHaveCount(0)
  await page.getByRole('textbox', { name: 'Batch' }).fill('none')
  await expect(page.getByText('To go on, correct: batch.')).toBeVisible()
  await expect(page.getByText('A whole number from 1 to 65,536.')).toBeVisible()
  await expect(page.getByRole('button', { name: 'Next: name and limits' })).toBeDisabled()
})

test('a run says where it went on after the program had ended, and why it waits', async ({ page }) => {
  await open(page, `train/${runIds.battery}`, 'hosting')
  await expect(page.getByRole('heading', { name: 'Waiting: on battery' })).toBeVisible()
  await expect(page.getByTestId('resumed')).toContainText('Training went on from the checkpoint at step 60')
})

test('the curve has a table that says the same, and the learning rates that were tried are told', async ({ page }) => {
  await open(page, `train/${runIds.training}`, 'hosting')
  await expect(page.getByTestId('loss-chart')).toHaveAccessibleName(
    /^Loss over 148 of 400 steps\. Held-out: from 4\.79 to/,
  )
  await expect(page.getByRole('main')).toContainText('not at zero')
  await page.getByRole('button', { name: 'View as table' }).click()
  await expect(page.getByTestId('loss-row')).toHaveCount(9)
  await page.getByText('Learning rates tried', { exact: true }).click()
  await expect(page.getByTestId('probe-row')).toHaveCount(4)
  await expect(page.getByTestId('probe-row').nth(2)).toContainText('best')
  await expectSound(page)
})

test('stopping and removing ask first; removing leads back to the list', async ({ page }) => {
  await open(page, `train/${runIds.paused}`, 'hosting')
  await page.getByRole('button', { name: 'Stop', exact: true }).click()
  await expect(page.getByRole('dialog', { name: 'Stop this run?' })).toBeVisible()
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await expect(page.getByRole('heading', { name: /Paused by you/ })).toBeVisible()
  await page.getByRole('button', { name: 'Stop', exact: true }).click()
  await page.getByRole('button', { name: 'Stop the run' }).click()
  await expect(page.getByRole('heading', { name: /Stopped by you/ })).toBeFocused()
  await page.getByRole('button', { name: 'Remove', exact: true }).click()
  await page.getByRole('button', { name: 'Remove the run' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Train' })).toBeFocused()
  await expect(page.getByTestId('run-row')).toHaveCount(6)
})

test('a run that is not here says so and leads back', async ({ page }) => {
  await open(page, 'train/5b0e7c1a-9999-4000-8000-000000000001', 'hosting')
  await expect(page.getByTestId('empty')).toContainText('This run is not here')
  await page.getByRole('link', { name: 'See the runs of this one' }).click()
  await expect(page.getByTestId('run-row')).toHaveCount(7)
})

test('out of reach of its node a run keeps its curve and offers nothing', async ({ page }) => {
  await open(page, `train/${runIds.training}`, 'hosting')
  await expect(page.getByTestId('loss-chart')).toBeVisible()
  await page.evaluate('views.lose()')
  await expect(page.getByRole('alert')).toContainText('Connection to your node lost.')
  await expect(page.getByTestId('loss-chart')).toBeVisible()
  await expect(page.getByRole('main').getByRole('button', { name: 'Pause', exact: true })).toBeDisabled()
  await page.evaluate('views.restore()')
  await expect(page.getByRole('main').getByRole('button', { name: 'Pause', exact: true })).toBeEnabled({
    timeout: 15_000,
  })
})

test('hostile names of runs are only ever text', async ({ page }) => {
  const { complaints } = await guard(page)
  await open(page, `train/${runIds.finished}`, 'hostile')
  await expect(page.getByRole('heading', { level: 1 })).toContainText('<img src=x')
  expect(await page.locator('main img, main script').count()).toBe(0)
  await expectSound(page)
  expect(complaints).toEqual([])
})
