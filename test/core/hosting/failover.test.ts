import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type GenerateEvent, generateEventSchema } from '#contracts/api/chat.ts'
import type { Span } from '#contracts/span.ts'
import { SessionRefusedError } from '#core/errors.ts'
import { createToyRunner } from '../generation/toy-model.ts'
import { createToySwarm, type Interference, type Story, type ToySwarm, tell } from './toy-swarm.ts'

const spans: readonly Span[] = [
  { start: 0, end: 2 },
  { start: 2, end: 4 },
  { start: 4, end: 5 },
]
const whole: Span = { start: 0, end: 5 }

/** Steps of one generation through a hop: three passes for the prompt, then one a token but for the last. */
const prefillSteps = 3
const steps = prefillSteps + 10

async function localStory(): Promise<Story> {
  const world = await createToySwarm()
  return await tell(world.generate({}, { local: createToyRunner(whole), localOnly: true }))
}

function routesOf(story: Story) {
  return story.events.filter((event) => event.type === 'route')
}

function shown(event: GenerateEvent | undefined): string {
  if (event?.type !== 'route') return 'none'
  return event.hops.map(({ peerId, span }) => `${peerId} ${span.start}:${span.end}`).join(', ')
}

/** Does `what` once, when the hosts that share this have been asked for step `at` altogether. */
function once(at: number, what: () => void): Interference {
  let calls = 0
  return {
    onForward() {
      if (calls++ === at) what()
    },
  }
}

async function expectSessionsClosed(world: ToySwarm, hosts: readonly Awaited<ReturnType<ToySwarm['host']>>[]) {
  await Promise.all(hosts.map(({ spanHost }) => spanHost.drain()))
  for (const { runner, ledger } of hosts) {
    expect(runner.openSessions).toBe(0)
    expect(ledger.notes).toEqual([])
  }
  const ids = world.ledger.records.map(({ sessionId }) => sessionId)
  expect(new Set(ids).size).toBe(ids.length)
  const served = hosts.flatMap(({ ledger }) => ledger.records.map(({ sessionId }) => sessionId))
  expect(served.sort()).toEqual(ids.filter((id) => served.includes(id)).sort())
}

describe('generation over three hosts', () => {
  test('gives the text that one machine gives, and every event fits the contract', async () => {
    const local = await localStory()
    expect(local.text).toHaveLength(11)
    expect(new Set(local.text).size).toBeGreaterThan(6)
    const world = await createToySwarm()
    for (const [index, span] of spans.entries()) await world.host(`h${index}`, span)
    const story = await tell(world.generate())
    expect(story.text).toBe(local.text)
    expect(shown(story.events[0])).toBe('h0 0:2, h1 2:4, h2 4:5')
    expect(story.last).toMatchObject({ type: 'end', reason: 'length', tokens: 11, seed: 5 })
    for (const event of story.events) generateEventSchema.parse(event)
  })

  test('may begin on this machine and go on elsewhere', async () => {
    const local = await localStory()
    const world = await createToySwarm()
    await world.host('h', { start: 2, end: 5 })
    const story = await tell(world.generate({}, { local: createToyRunner({ start: 0, end: 3 }) }))
    expect(story.text).toBe(local.text)
    expect(shown(story.events[0])).toBe('client 0:3, h 3:5')
  })
})

describe('kill matrix', () => {
  const places = spans.flatMap((_, hop) => Array.from({ length: steps }, (_, step) => [hop, step] as const))

  test.each(places)('hop %i dies in its step %i: a replica goes on with the same text', async (hop, step) => {
    const local = await localStory()
    const world = await createToySwarm()
    let killed: string | null = null
    const hosts = []
    for (const [index, span] of spans.entries()) {
      let calls = 0
      for (const name of ['a', 'b']) {
        const peerId = `${name}${index}`
        const onForward = () => {
          if (index !== hop || calls++ !== step) return
          killed = peerId
          world.kill(peerId)
        }
        hosts.push(await world.host(peerId, span, { interference: { onForward } }))
      }
    }
    const story = await tell(world.generate())

    expect(killed).not.toBeNull()
    expect(story.text).toBe(local.text)
    expect(story.last).toMatchObject({ type: 'end', tokens: 11 })
    expect(routesOf(story).map((route) => route.type === 'route' && route.lostPeerId)).toEqual([null, killed])
    const outcomes = world.ledger.records.map(({ peerId, outcome }) => `${peerId} ${outcome}`)
    expect(outcomes).toHaveLength(4)
    expect(outcomes).toContain(`${killed} interrupted`)
    expect(outcomes.filter((line) => line.endsWith('completed'))).toHaveLength(3)
    await expectSessionsClosed(world, hosts)
  })

  test.each(places)('hop %i dies in its step %i: without a replica its blocks are named', async (hop, step) => {
    const local = await localStory()
    const world = await createToySwarm()
    const hosts = []
    for (const [index, span] of spans.entries()) {
      const interference = index === hop ? once(step, () => world.kill(`h${index}`)) : {}
      hosts.push(await world.host(`h${index}`, span, { interference }))
    }
    const story = await tell(world.generate())

    const tokens = Math.max(0, step - prefillSteps + 1)
    const { start, end } = spans[hop] ?? whole
    expect(story.last).toMatchObject({
      type: 'error',
      code: 'missing-blocks',
      params: { blocks: `${start}:${end}` },
      tokens,
    })
    expect(story.text).toBe(local.text.slice(0, tokens))
    for (const event of story.events) generateEventSchema.parse(event)
    expect(world.ledger.records.map(({ outcome }) => outcome)).toEqual(spans.map(() => 'interrupted'))
    expect(story.failures).toMatchObject([{ code: 'missing-blocks', cause: { code: 'peer-lost', peerId: `h${hop}` } }])
    await expectSessionsClosed(world, hosts)
  })

  test.each([0, 1, 4, 9])(
    'a host that dies between two steps, after token %i, is noticed at the next',
    async (after) => {
      const local = await localStory()
      const world = await createToySwarm()
      for (const [index, span] of spans.entries()) {
        await world.host(`a${index}`, span)
        await world.host(`b${index}`, span)
      }
      let hops: readonly string[] = []
      const story = await tell(world.generate(), (event) => {
        if (event.type === 'route') hops = event.hops.map(({ peerId }) => peerId)
        // Every hop of the route in use at once.
        if (event.type === (after === 0 ? 'prompt' : 'text') && (event.tokens === after || after === 0)) {
          for (const peerId of hops) world.kill(peerId)
          hops = []
        }
      })
      expect(story.text).toBe(local.text)
      expect(routesOf(story)).toHaveLength(4)
    },
  )
})

describe('failing over', () => {
  test.each([0, 1, 2])('survives a second failure while replaying on hop %i', async (hop) => {
    const local = await localStory()
    const world = await createToySwarm()
    let deaths = 0
    for (const [index, span] of spans.entries()) {
      for (const name of ['a', 'b', 'c']) {
        const peerId = `${name}${index}`
        // The first dies in its eighth step, the one that replays for it at once, and the third lives.
        const onForward = (call: number) => {
          if (index !== hop || !(deaths === 0 ? call === 8 : deaths === 1)) return
          deaths += 1
          world.kill(peerId)
        }
        await world.host(peerId, span, { interference: { onForward } })
      }
    }
    const story = await tell(world.generate())
    expect(deaths).toBe(2)
    expect(story.text).toBe(local.text)
    expect(routesOf(story)).toHaveLength(3)
    expect(world.ledger.records).toHaveLength(5)
  })

  test('replays through several hops when nobody else holds all the lost blocks, and again when one of those is lost', async () => {
    const local = await localStory()
    const world = await createToySwarm()
    await world.host('first', { start: 0, end: 1 })
    await world.host('big', { start: 1, end: 5 }, { interference: once(6, () => world.kill('big')) })
    let part: string | null = null
    for (const name of ['p', 'q']) {
      const onForward = (call: number) => {
        if (part !== null || call !== 1) return
        part = name
        world.kill(name)
      }
      await world.host(name, { start: 1, end: 3 }, { interference: { onForward } })
    }
    await world.host('rest', { start: 2, end: 5 })
    const story = await tell(world.generate({ prefillTokens: 2 }))
    expect(part).not.toBeNull()
    expect(story.text).toBe(local.text)
    const routes = routesOf(story).map(shown)
    expect(routes[0]).toBe('first 0:1, big 1:5')
    expect(routes.at(-1)).toMatch(/^first 0:1, [pq] 1:[23], rest [23]:5$/)
  })

  test('uses parts of hosts whose spans overlap', async () => {
    const local = await localStory()
    const world = await createToySwarm()
    await world.host('low', { start: 0, end: 4 })
    await world.host('middle', { start: 1, end: 4 })
    await world.host('high', { start: 3, end: 5 }, { interference: once(5, () => world.kill('high')) })
    await world.host('spare', { start: 2, end: 5 })
    const story = await tell(world.generate())
    expect(story.text).toBe(local.text)
  })

  test('takes another host when one refuses, at the beginning and in the middle', async () => {
    const local = await localStory()
    const world = await createToySwarm()
    const refuse = {
      onOpen: () => {
        throw new SessionRefusedError('busy')
      },
    }
    await world.host('h0', { start: 0, end: 2 })
    await world.host('no1', { start: 2, end: 5 }, { interference: refuse })
    await world.host('no2', { start: 2, end: 5 }, { interference: refuse })
    await world.host('yes1', { start: 2, end: 5 }, { interference: once(7, () => world.kill('yes1')) })
    await world.host('yes2', { start: 2, end: 5 }, { interference: once(7, () => world.kill('yes2')) })
    await world.host('yes3', { start: 2, end: 5 })
    const story = await tell(world.generate())
    expect(story.text).toBe(local.text)
    // Refusals leave no session, so no record.
    expect(world.ledger.records.every(({ peerId }) => !peerId.startsWith('no'))).toBe(true)
  })

  test('says that hosts are busy, not that blocks are missing, when all of them refuse', async () => {
    const world = await createToySwarm()
    await world.host('h', whole, { limits: { maxSessions: 0 } })
    const story = await tell(world.generate())
    expect(story.last).toMatchObject({ type: 'error', code: 'session-refused', params: { reason: 'busy' } })
  })

  test('a peer that refused once is asked again when nobody else holds the blocks', async () => {
    const local = await localStory()
    const world = await createToySwarm()
    let asked = 0
    const onOpen = () => {
      if (asked++ === 0) throw new SessionRefusedError('busy')
    }
    await world.host('h', whole, { interference: { onOpen } })
    const story = await tell(world.generate())
    expect(asked).toBe(2)
    expect(story.text).toBe(local.text)
  })

  test('a lost peer that comes back with a new offer is taken again', async () => {
    const local = await localStory()
    const world = await createToySwarm()
    let failed = false
    const onForward = (call: number) => {
      if (call !== 6 || failed) return
      failed = true
      setTimeout(() => void host.offer(), 5)
      throw new Error('the disk is gone')
    }
    const host = await world.host('h', whole, { interference: { onForward } })
    const story = await tell(world.generate({}, { searchTimeoutMs: 500 }))
    expect(story.text).toBe(local.text)
    expect(world.ledger.records.map(({ outcome }) => outcome)).toEqual(['interrupted', 'completed'])
  })

  test.each([
    ['a wrong number of values', (output: Float32Array) => output.subarray(1)],
    ['something that is not a number', (output: Float32Array) => output.fill(Number.NaN)],
  ])('a peer that answers %s is lost, and its answer goes nowhere', async (_, answer) => {
    const local = await localStory()
    const world = await createToySwarm()
    await world.host('liar', whole, { interference: { answer } })
    await world.host('honest', whole)
    for (let i = 0; i < 8; i++) {
      const story = await tell(world.generate())
      expect(story.text).toBe(local.text)
    }
    expect(world.ledger.records.some(({ peerId }) => peerId === 'liar')).toBe(true)
  })

  test('gives up after a bounded number of replacements', async () => {
    const world = await createToySwarm()
    let asked = 0
    for (let i = 0; i < 40; i++) {
      const onOpen = () => {
        asked += 1
        throw new SessionRefusedError('paused')
      }
      await world.host(`h${i}`, whole, { interference: { onOpen } })
    }
    const story = await tell(world.generate())
    expect(story.last).toMatchObject({ type: 'error', code: 'session-refused' })
    expect(asked).toBeLessThanOrEqual(17)
  })

  test('finds a host that turns up while it is asking', async () => {
    const local = await localStory()
    const world = await createToySwarm()
    await world.host('h0', { start: 0, end: 2 })
    await world.host(
      'h1',
      { start: 2, end: 5 },
      {
        interference: once(8, () => {
          world.kill('h1')
          setTimeout(() => void world.host('late', { start: 2, end: 5 }), 5)
        }),
      },
    )
    const story = await tell(world.generate({}, { searchTimeoutMs: 2000 }))
    expect(story.text).toBe(local.text)
  })

  test('goes over to the swarm when this machine fails, and says what failed when there is nobody', async () => {
    const local = await localStory()
    const failing = () => {
      const runner = createToyRunner(whole)
      return {
        ...runner,
        openSession(init: Parameters<typeof runner.openSession>[0]) {
          const session = runner.openSession(init)
          const forward: typeof session.forward = async (hidden, options) => {
            if (session.length > 12) throw new Error('out of memory')
            return await session.forward(hidden, options)
          }
          return Object.create(session, { forward: { value: forward } })
        },
      }
    }
    const alone = await createToySwarm()
    expect((await tell(alone.generate({}, { local: failing() }))).last).toMatchObject({
      type: 'error',
      code: 'internal',
      params: { what: 'out of memory' },
    })
    expect(alone.ledger.records).toMatchObject([{ peerId: 'client', outcome: 'failed' }])

    const world = await createToySwarm()
    await world.host('h', whole)
    const story = await tell(world.generate({}, { local: failing() }))
    expect(story.text).toBe(local.text)
    expect(routesOf(story).map(shown)).toEqual(['client 0:5', 'h 0:5'])
  })
})

describe('any swarm, dying in any way', () => {
  const anySpan = fc.tuple(fc.nat(4), fc.nat(4)).map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) + 1 }))
  /** A host dies in the given one of its steps, counted from 0; null never. */
  const anyHost = fc.record({ span: anySpan, diesIn: fc.option(fc.nat(12)) })

  test('the text is that of one machine as far as it goes, and it only stops at blocks that nobody holds any more', async () => {
    const local = await localStory()
    const property = fc.asyncProperty(fc.array(anyHost, { maxLength: 7 }), fc.nat(12), async (others, diesIn) => {
      const world = await createToySwarm()
      const alive = new Map<string, Span>()
      for (const [index, host] of [{ span: whole, diesIn }, ...others].entries()) {
        const peerId = `h${index}`
        const onForward = (call: number) => {
          if (call !== host.diesIn) return
          alive.delete(peerId)
          world.kill(peerId)
        }
        alive.set(peerId, host.span)
        await world.host(peerId, host.span, { interference: { onForward } })
      }
      const { last, text } = await tell(world.generate({}, { searchTimeoutMs: 1 }))
      const records = world.ledger.records.map(({ sessionId }) => sessionId)
      expect(new Set(records).size).toBe(records.length)
      expect(text).toBe(last.type === 'end' ? local.text : local.text.slice(0, text.length))
      if (last.type === 'end') return
      expect(last).toMatchObject({ type: 'error', code: 'missing-blocks' })
      const named = last.type === 'error' ? String(last.params['blocks']).split(', ') : []
      expect(named).not.toEqual([])
      for (const blocks of named) {
        const [start = 0, end = 0] = blocks.split(':').map(Number)
        for (let block = start; block < end; block++) {
          expect([...alive.values()].some((span) => span.start <= block && block < span.end)).toBe(false)
        }
      }
    })
    await fc.assert(property, { numRuns: 150 })
  })
})

describe('opening', () => {
  test('names all missing blocks at once', async () => {
    const world = await createToySwarm()
    await world.host('h', { start: 2, end: 4 })
    const story = await tell(world.generate())
    expect(story.events).toHaveLength(1)
    expect(story.last).toMatchObject({ type: 'error', code: 'missing-blocks', params: { blocks: '0:2, 4:5' } })
  })

  test('names the blocks of all hosts that turn out to be dead, and ends the sessions of the others', async () => {
    const world = await createToySwarm()
    const hosts = []
    for (const [index, span] of spans.entries()) hosts.push(await world.host(`h${index}`, span))
    world.kill('h0')
    world.kill('h2')
    const story = await tell(world.generate())
    expect(story.last).toMatchObject({ type: 'error', code: 'missing-blocks', params: { blocks: '0:2, 4:5' } })
    expect(world.ledger.records).toMatchObject([{ peerId: 'h1', outcome: 'interrupted' }])
    await expectSessionsClosed(world, hosts.slice(1, 2))
  })

  test('says how long a session may be when hosts take only shorter ones', async () => {
    const world = await createToySwarm()
    await world.host('h0', { start: 0, end: 3 }, { limits: { maxLength: 16 } })
    await world.host('h1', { start: 2, end: 5 }, { limits: { maxLength: 12 } })
    const story = await tell(world.generate())
    expect(story.last).toMatchObject({ type: 'error', code: 'context-too-long', params: { wanted: 20, maximum: 12 } })
  })

  test('stays on this machine when told to', async () => {
    const world = await createToySwarm()
    await world.host('h', whole)
    const story = await tell(world.generate({}, { localOnly: true, local: createToyRunner({ start: 0, end: 3 }) }))
    expect(story.last).toMatchObject({ code: 'missing-blocks', params: { blocks: '3:5' } })
  })
})
