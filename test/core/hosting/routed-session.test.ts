import { describe, expect, test } from 'vitest'
import { ContextTooLongError } from '#core/errors.ts'
import type { Pipeline } from '#core/generation/pipeline.ts'
import { createToyRunner, toyEnds } from '../generation/toy-model.ts'
import { createToySwarm, tell } from './toy-swarm.ts'

const prompt = await toyEnds.embed([0, 5, 9, 4, 7, 3])
const token = await toyEnds.embed([8])

describe('a routed session', () => {
  test('is a pipeline to generate through', async () => {
    const world = await createToySwarm()
    await world.host('h', { start: 0, end: 5 })
    const pipeline: Pipeline = await world.openSession()
    expect((await pipeline.forward(prompt)).length).toBe(prompt.length)
    await pipeline.close('completed')
  })

  test('records each hop once, with the counts and bytes that its host has too', async () => {
    const world = await createToySwarm()
    const host = await world.host('h', { start: 2, end: 5 })
    const session = await world.openSession({ local: createToyRunner({ start: 0, end: 2 }) })
    await session.forward(prompt)
    for (let i = 0; i < 3; i++) await session.forward(token)
    world.clock.advance(1500)
    expect(world.ledger.records).toEqual([])
    await session.close('completed')
    await session.close('failed')
    await host.spanHost.drain()

    const counts = { kind: 'used', tokensIn: 6, tokensOut: 3, durationMs: 1500, outcome: 'completed' }
    expect(world.ledger.records).toMatchObject([
      { ...counts, peerId: 'client', span: { start: 0, end: 2 }, bytesSent: 0, bytesReceived: 0 },
      { ...counts, peerId: 'h', span: { start: 2, end: 5 } },
    ])
    const [, used] = world.ledger.records
    const [served] = host.ledger.records
    expect(served).toMatchObject({ ...counts, kind: 'served', peerId: 'client', sessionId: used?.sessionId })
    expect(served).toMatchObject({ bytesReceived: used?.bytesSent, bytesSent: used?.bytesReceived })
    expect(used?.bytesSent).toBeGreaterThan(prompt.byteLength + 3 * token.byteLength)
    expect(session.reports()).toMatchObject([
      { peerId: 'client', local: true, tokensIn: 6, tokensOut: 3, outcome: 'completed' },
      { peerId: 'h', nodeName: 'node h', local: false, bytesSent: used?.bytesSent, outcome: 'completed' },
    ])
  })

  test('counts a replay as context, on the hop that replays only', async () => {
    const world = await createToySwarm()
    await world.host('near', { start: 0, end: 2 })
    let dead: string | null = null
    for (const peerId of ['x', 'y']) {
      const onForward = (call: number) => {
        if (call !== 3 || dead) return
        dead = peerId
        world.kill(peerId)
      }
      await world.host(peerId, { start: 2, end: 5 }, { interference: { onForward } })
    }
    const session = await world.openSession()
    await session.forward(prompt)
    for (let i = 0; i < 4; i++) await session.forward(token)
    await session.close('completed')
    const told = session
      .reports()
      .map(({ peerId, tokensIn, tokensOut, outcome }) => [peerId, tokensIn, tokensOut, outcome])
    expect(told).toEqual([
      ['near', 6, 4, 'completed'],
      [dead, 6, 2, 'interrupted'],
      [dead === 'x' ? 'y' : 'x', 9, 1, 'completed'],
    ])
  })

  test('takes no positions past its length', async () => {
    const world = await createToySwarm()
    await world.host('h', { start: 0, end: 5 })
    const session = await world.openSession({ maxLength: 6 })
    await session.forward(prompt)
    expect(session.length).toBe(6)
    await expect(session.forward(token)).rejects.toThrow(ContextTooLongError)
    await session.close('failed')
  })

  test('replays longer than a chunk of history are exact', async () => {
    const long = await toyEnds.embed(Array.from({ length: 300 }, (_, i) => i % 30))
    const alone = createToyRunner({ start: 0, end: 5 }).openSession({ maxLength: 400 })
    const expected = [await alone.forward(long), await alone.forward(token), await alone.forward(token)]

    const world = await createToySwarm()
    let dead = false
    for (const peerId of ['x', 'y']) {
      const onForward = (call: number) => {
        if (call !== 2 || dead) return
        dead = true
        world.kill(peerId)
      }
      const limits = { maxLength: 400 }
      await world.host(peerId, { start: 0, end: 3 }, { interference: { onForward }, limits })
      await world.host(`${peerId}2`, { start: 3, end: 5 }, { limits })
    }
    const session = await world.openSession({ maxLength: 400 })
    expect(await session.forward(long)).toEqual(expected[0])
    expect(await session.forward(token)).toEqual(expected[1])
    expect(await session.forward(token)).toEqual(expected[2])
    expect(dead).toBe(true)
    await session.close('completed')
  })

  test('an abort while a step is under way is not taken for a lost peer', async () => {
    const world = await createToySwarm()
    const controller = new AbortController()
    const onForward = (call: number) => call === 1 && controller.abort()
    const host = await world.host('h', { start: 0, end: 5 }, { interference: { onForward } })
    const session = await world.openSession()
    await session.forward(prompt)
    await expect(session.forward(token, { signal: controller.signal })).rejects.toMatchObject({ name: 'AbortError' })
    await session.close('completed')
    await host.spanHost.drain()
    expect(world.ledger.records).toMatchObject([{ outcome: 'completed', tokensIn: 6, tokensOut: 0 }])
    expect(host.ledger.records).toHaveLength(1)
  })

  test('an abort while looking for lost blocks ends the search', async () => {
    const world = await createToySwarm()
    const controller = new AbortController()
    await world.host('h', { start: 0, end: 5 }, { interference: { onForward: () => world.kill('h') } })
    const session = await world.openSession({ searchTimeoutMs: 60_000 })
    setTimeout(() => controller.abort(), 5)
    await expect(session.forward(prompt, { signal: controller.signal })).rejects.toMatchObject({ name: 'AbortError' })
    await session.close('completed')
  })

  test('an abort while opening leaves no session behind', async () => {
    const world = await createToySwarm()
    const controller = new AbortController()
    const hosts = [
      await world.host('a', { start: 0, end: 3 }),
      await world.host('b', { start: 3, end: 5 }, { interference: { onOpen: () => controller.abort() } }),
    ]
    await expect(world.openSession({ signal: controller.signal })).rejects.toMatchObject({ name: 'AbortError' })
    for (const { spanHost, runner } of hosts) {
      await spanHost.drain()
      expect(runner.openSessions).toBe(0)
    }
  })

  test('tells when a session could not be recorded, but ends all of them first', async () => {
    const world = await createToySwarm()
    const hosts = [await world.host('a', { start: 0, end: 3 }), await world.host('b', { start: 3, end: 5 })]
    const story = await tell(world.generate(), (event) => {
      if (event.type === 'text') void world.ledger.store.close()
    })
    expect(story.text).toHaveLength(11)
    expect(story.last).toMatchObject({ type: 'error', code: 'storage-failed' })
    for (const { spanHost } of hosts) await spanHost.drain()
  })

  test('is noted in the journal while it lasts, so that a crash leaves a line all the same', async () => {
    const world = await createToySwarm()
    await world.host('a', { start: 0, end: 5 })
    const session = await world.openSession()
    expect(world.ledger.notes).toMatchObject([{ kind: 'used', peerId: 'a', outcome: 'failed' }])
    await session.close('completed')
    expect(world.ledger.notes).toEqual([])
  })

  test('does nothing that could not be recorded', async () => {
    const world = await createToySwarm()
    const { spanHost } = await world.host('a', { start: 0, end: 5 })
    await world.ledger.store.close()
    const story = await tell(world.generate())
    expect(story.text).toBe('')
    expect(story.last).toMatchObject({ type: 'error', code: 'storage-failed' })
    await spanHost.drain()
  })
})
