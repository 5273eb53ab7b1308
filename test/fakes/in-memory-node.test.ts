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
})
