import { expect, test } from 'vitest'
import { samplingSchema } from '#contracts/api/chat.ts'
import type { Span } from '#contracts/span.ts'
import { generate } from '#core/generation/generate.ts'
import { openRoutedSession } from '#core/hosting/routed-session.ts'
import { createSpanHost } from '#core/hosting/span-host.ts'
import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { createFakeClock } from '#test/fakes/clock.ts'
import { createInMemorySwarms } from '#test/fakes/in-memory-swarm.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { createLedger, tell } from './toy-swarm.ts'

/** A real Llama with random weights: the sessions' own KV caches, rotary positions and attention are in play. */
const config = tinyConfig({ blockCount: 5, contextLength: 200 })
const model = randomModel(config, 3)
const engine = createReferenceEngine()
const digest = model.manifest.digest
const prompt = '3 17 5 29 11 2 30 8 1'

async function createWorld() {
  const clock = createFakeClock()
  const swarms = createInMemorySwarms({ clock })
  const ledger = createLedger('client')
  const ends = await engine.loadEnds(model, { threads: 1 })
  const tokenizer = await model.tokenizer()
  const client = swarms.create('client')
  await client.start()
  let ids = 0

  async function host(peerId: string, span: Span, onForward: (call: number) => void = () => {}) {
    const runner = await engine.loadSpan(model, span, { threads: 1 })
    const limits = { maxSessions: 4, maxSessionsPerPeer: 4, maxLength: 200, sliceTokens: 4 }
    const components = { runner, ledger: createLedger(peerId).store, clock }
    const inner = createSpanHost({ ...components, modelDigest: digest, hiddenSize: config.hiddenSize }, limits)
    const swarm = swarms.create(peerId)
    await swarm.start()
    let calls = 0
    swarm.serve({
      async open(...args) {
        const session = await inner.open(...args)
        return {
          ...session,
          forward(...step) {
            onForward(calls++)
            return session.forward(...step)
          },
        }
      },
    })
    await swarm.offer({ modelDigest: digest, span, maxLength: 200, nodeName: peerId })
  }

  function run(local: Awaited<ReturnType<typeof engine.loadSpan>> | null) {
    const failures: unknown[] = []
    const components = { swarm: client, local, clock, selfId: 'client', nodeName: null }
    const newSessionId = () => `00000000-0000-4000-8000-${`${ids++}`.padStart(12, '0')}`
    const events = generate(
      {
        config,
        tokenizer,
        ends,
        clock,
        drawSeed: () => 1,
        onFailure: (error) => failures.push(error),
        openPipeline: (request) =>
          openRoutedSession(
            { ...components, newSessionId, ledger: ledger.store },
            { ...request, modelDigest: digest, config, localOnly: local !== null, searchTimeoutMs: 5 },
          ),
      },
      { prompt, maxTokens: 24, prefillTokens: 5, sampling: samplingSchema.parse({ temperature: 0.8, seed: 9 }) },
    )
    return tell({ events, failures })
  }

  return { host, run, kill: swarms.kill, ledger }
}

async function localText(): Promise<string> {
  const world = await createWorld()
  const runner = await engine.loadSpan(model, { start: 0, end: 5 }, { threads: 1 })
  return (await world.run(runner)).text
}

test('a Llama over three hosts gives the text of one machine', async () => {
  const expected = await localText()
  expect(new Set(expected.split(' ')).size).toBeGreaterThan(8)
  const world = await createWorld()
  await world.host('a', { start: 0, end: 2 })
  await world.host('b', { start: 2, end: 4 })
  await world.host('c', { start: 4, end: 5 })
  expect((await world.run(null)).text).toBe(expected)
})

test('a Llama whose hosts die one after the other still gives that text', async () => {
  const expected = await localText()
  const world = await createWorld()
  const spans = [
    { start: 0, end: 2 },
    { start: 2, end: 4 },
    { start: 4, end: 5 },
  ]
  const dead: string[] = []
  for (const [index, span] of spans.entries()) {
    for (const name of ['x', 'y']) {
      const peerId = `${name}${index}`
      await world.host(peerId, span, (call) => {
        if (call !== 4 + 5 * index || dead.some((other) => other.endsWith(`${index}`))) return
        dead.push(peerId)
        world.kill(peerId)
      })
    }
  }
  expect((await world.run(null)).text).toBe(expected)
  expect(dead).toHaveLength(3)
  expect(world.ledger.records.filter(({ outcome }) => outcome === 'interrupted')).toHaveLength(3)
})
