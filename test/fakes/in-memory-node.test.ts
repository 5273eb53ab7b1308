import { createRouterClient } from '@orpc/server'
import { describe, expect, test } from 'vitest'
import { createInMemoryNode } from './in-memory-node.ts'
import { type ScenarioName, scenarioNames } from './in-memory-node-scenarios.ts'

function clientOf(scenario: ScenarioName) {
  return createRouterClient(createInMemoryNode({ scenario, paceMs: 0 }).router)
}

describe('the in-memory node', () => {
  const answering = scenarioNames.filter((name) => name !== 'silent')

  test.each(answering)('answers everything within the contract as "%s"', async (scenario) => {
    const client = clientOf(scenario)
    expect((await client.connect({ apiVersion: 1 })).version).toBe('0.1.0')
    const status = await client.node.status()
    const page = client.ledger.list({ limit: 7 })
    const engines = client.engine.overview({ look: true })
    if (scenario === 'failing') await expect(engines).rejects.toMatchObject({ data: { code: 'storage-failed' } })
    else expect((await engines).backends.length).toBeGreaterThan(3)
    if (scenario === 'failing') await expect(page).rejects.toMatchObject({ data: { code: 'storage-failed' } })
    else expect((await page).totalEntries).toBe(status.ledgerEntries)
  })

  test('generates to an end, writes each hop to the ledger and shows it in the status', async () => {
    const client = clientOf('hosting')
    const before = await client.node.status()
    const types: string[] = []
    for await (const event of await client.chat.generate({ prompt: 'Once', maxTokens: 3 })) types.push(event.type)
    expect(types).toEqual(['route', 'prompt', 'text', 'text', 'text', 'end'])
    expect((await client.node.status()).ledgerEntries).toBe(before.ledgerEntries + 2)
  })

  test('stops generating when the reader leaves early', async () => {
    const client = clientOf('hosting')
    for await (const event of await client.chat.generate({ prompt: '', maxTokens: 500 })) {
      if (event.type === 'text') break
    }
    const { rows } = await client.ledger.list({ limit: 1 })
    expect(rows[0]).toMatchObject({ tokensOut: 1, outcome: 'interrupted' })
  })

  test('tells its watchers of a pause and of its end', async () => {
    const client = clientOf('hosting')
    const kinds: string[] = []
    for await (const status of await client.node.watch()) {
      kinds.push(status.hosting.kind)
      if (kinds.length === 1) await client.node.pause({ minutes: 15 })
      if (kinds.length === 2) await client.node.resume()
      if (kinds.length === 3) break
    }
    expect(kinds).toEqual(['hosting', 'paused', 'hosting'])
  })

  test('measures its engines, and uses the one that is chosen', async () => {
    const client = clientOf('unmeasured')
    const types: string[] = []
    for await (const event of await client.engine.measure()) types.push(event.type)
    expect(types).toEqual(['looking', ...Array.from({ length: 7 }, () => 'progress'), 'done'])
    await client.engine.choose({ backend: 'tfjs-wasm', format: null })
    expect((await client.node.status()).engine).toMatchObject({ backend: 'tfjs-wasm', why: 'owner-chose-backend' })
  })

  test('pages through the ledger without gap or repetition', async () => {
    const client = clientOf('hosting')
    const sequences: number[] = []
    let before: number | null = null
    do {
      const page = await client.ledger.list({ before, limit: 50 })
      sequences.push(...page.rows.map((row) => row.sequence))
      before = page.next
    } while (before !== null)
    expect(sequences).toEqual(Array.from({ length: 137 }, (_, age) => 136 - age))
  })

  test('takes a text in pieces, reads it, plans, trains it to a patch, and has the patch', async () => {
    const client = clientOf('hosting')
    const bytes = btoa(Array.from({ length: 30 }, (_, at) => `Letter ${at}.`).join('\n\n'))
    const { id } = await client.training.upload({ id: null, name: 'letters.txt', offset: 0, bytes })
    const files = [{ kind: 'upload' as const, id }]
    const inspected = await last(await client.training.inspect({ files }))
    expect(inspected).toMatchObject({ type: 'done', preview: { card: { trainingExamples: 27, heldOutExamples: 3 } } })
    const plan = await client.training.plan({ data: files, title: 'Letters' })
    expect(plan.obstacles).toEqual([])
    const run = await client.training.start({ data: files, title: 'Letters' })
    let patch = ''
    for await (const detail of await client.training.watch({ id: run.id })) {
      if (detail.state.kind !== 'finished') continue
      patch = detail.state.patch
      break
    }
    expect((await client.patches.show({ patch })).summary).toMatchObject({ where: 'mine', shared: false })
  })

  test('fetches, shares, tags, compares and forgets patches', async () => {
    const client = clientOf('hosting')
    const { patches } = await client.patches.list({})
    const seen = patches.find(({ where }) => where === 'seen')
    const [first, second] = patches
    if (seen === undefined || first === undefined || second === undefined) throw new Error('patches are missing')
    const fetched = await last(await client.patches.fetch({ patch: seen.digest }))
    expect(fetched).toMatchObject({ type: 'done', patch: { where: 'fetched' } })
    expect(await client.patches.share({ patch: first.digest, shared: true })).toMatchObject({ shared: true })
    await client.patches.tag({ tag: 'mine', patch: first.digest })
    expect((await client.patches.show({ patch: 'mine' })).summary.digest).toBe(first.digest)
    expect(await client.patches.diff({ left: first.digest, right: second.digest })).toMatchObject({ sameBase: true })
    await client.patches.remove({ patch: first.digest })
    await expect(client.patches.show({ patch: first.digest })).rejects.toMatchObject({
      data: { code: 'patch-not-found' },
    })
  })
})

async function last<T>(stream: AsyncIterable<T>): Promise<T | undefined> {
  let latest: T | undefined
  for await (const one of stream) latest = one
  return latest
}
