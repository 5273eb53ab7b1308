import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { GenerateEvent } from '#contracts/api/chat.ts'
import type { LedgerList } from '#contracts/api/ledger.ts'
import { hasShared, sharedPath } from '#test/helpers/shared.ts'
import { createProcesses, type Processes, type RunningNode } from './processes.ts'

const model = 'stories260K'
const tokens = 128

/** Greedy, so that every route must give the same text. */
const request = ['generate', '--model', model, '--prompt', '', '--temperature', '0', '--max-tokens', String(tokens)]

describe.skipIf(!hasShared('models/stories260K'))('a swarm of processes', () => {
  const shelter = createProcesses()
  let imported = ''
  let expected = ''
  let processes: Processes

  beforeAll(async () => {
    imported = shelter.home()
    expect((await shelter.quiltbee(imported, ['model', 'import', sharedPath(`models/${model}`)])).code).toBe(0)
    expected = (await shelter.quiltbee(imported, [...request, '--local'])).stdout
    expect(expected.length).toBeGreaterThan(200)
  })
  afterAll(() => shelter.clean())
  afterEach(() => processes.clean())

  /** A data folder of its own with the model in it. */
  function homeWithModel(): string {
    const home = processes.home()
    cpSync(join(imported, 'models'), join(home, 'models'), { recursive: true })
    return home
  }

  async function host(blocks: string, bootstrap?: RunningNode): Promise<RunningNode> {
    const known = bootstrap ? ['--bootstrap', bootstrap.address] : []
    return await processes.up(homeWithModel(), ['--model', model, '--blocks', blocks, ...known])
  }

  async function ledgerOf(home: string): Promise<LedgerList['rows']> {
    const verified = await processes.quiltbee(home, ['ledger', 'verify', '--json'])
    expect(verified.code).toBe(0)
    expect(JSON.parse(verified.stdout)).toMatchObject({ kind: 'intact' })
    return (JSON.parse((await processes.quiltbee(home, ['ledger', 'list', '--json'])).stdout) as LedgerList).rows
  }

  test('three hosts make the same text as one machine, and both sides write it down', async () => {
    processes = createProcesses()
    const first = await host('0:2')
    const hosts = [first, ...(await Promise.all([host('2:4', first), host('4:5', first)]))]
    const client = homeWithModel()

    const made = await processes.quiltbee(client, [...request, '--bootstrap', first.address])
    expect(made).toEqual({ code: 0, stdout: expected, stderr: '' })

    const used = await ledgerOf(client)
    expect(used).toHaveLength(3)
    const hiddenBytes = tokens * 64 * 4
    for (const node of hosts) {
      const served = await ledgerOf(node.home)
      const match = used.find((row) => row.peerId === node.peerId)
      expect(served).toMatchObject([
        { kind: 'served', self: false, outcome: 'completed', span: match?.span, tokensIn: 1, tokensOut: tokens - 1 },
      ])
      expect(match).toMatchObject({ kind: 'used', outcome: 'completed', tokensIn: 1, tokensOut: tokens - 1 })
      expect(served[0]?.bytesReceived).toBeGreaterThan(hiddenBytes)
      expect(served[0]?.bytesSent).toBeGreaterThan(hiddenBytes)
      expect(match?.bytesSent).toBe(served[0]?.bytesReceived)
      expect(match?.bytesReceived).toBe(served[0]?.bytesSent)
    }
  })

  test.each([10, 20, 40])(
    'the text goes on unchanged when the host of 2:4 is killed after %i tokens',
    async (after) => {
      processes = createProcesses()
      const first = await host('0:2')
      const middle = [await host('2:4', first), await host('2:4', first)]
      await host('4:5', first)
      const client = homeWithModel()

      const { events, code } = await generateAndKill(client, first, after, middle)
      expect(code).toBe(0)
      expect(`${textOf(events)}\n`).toBe(expected)
      const lost = events.flatMap((event) => (event.type === 'route' && event.lostPeerId ? [event.lostPeerId] : []))
      expect(lost).toHaveLength(1)
      expect(middle.map((node) => node.peerId)).toContain(lost[0])
      const used = await ledgerOf(client)
      expect(
        used
          .filter((row) => row.span.start === 2)
          .map((row) => row.outcome)
          .sort(),
      ).toEqual(['completed', 'interrupted'])
    },
  )

  test('without another host the missing blocks are named and the text so far is kept', async () => {
    processes = createProcesses()
    const first = await host('0:2')
    const [middle] = await Promise.all([host('2:4', first), host('4:5', first)])
    const client = homeWithModel()

    const { events, code, stderr } = await generateAndKill(client, first, 10, [middle])
    expect(code).toBe(4)
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'missing-blocks', params: { blocks: '2:4' } })
    expect(stderr).toContain('no peer holds blocks 2:4')
    const text = textOf(events)
    expect(text.length).toBeGreaterThan(10)
    expect(expected.startsWith(text)).toBe(true)
    await ledgerOf(client)
  })

  /** Generates, and kills the host of 2:4 that is in use once `after` tokens have come. */
  async function generateAndKill(client: string, first: RunningNode, after: number, middle: readonly RunningNode[]) {
    const events: GenerateEvent[] = []
    let inUse: string | undefined
    const { code, stderr } = await processes.quiltbee(client, [...request, '--events', '--bootstrap', first.address], {
      onLine: (line) => {
        const event = JSON.parse(line) as GenerateEvent
        events.push(event)
        if (event.type === 'route') inUse = event.hops.find((hop) => hop.span.start === 2)?.peerId
        if (event.type !== 'text' || event.tokens !== after) return
        middle.find((node) => node.peerId === inUse)?.process.kill('SIGKILL')
      },
    })
    return { events, code, stderr }
  }

  function textOf(events: readonly GenerateEvent[]): string {
    return events.map((event) => (event.type === 'text' ? event.text : '')).join('')
  }
})
