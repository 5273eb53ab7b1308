import { expect, test } from 'vitest'
import { samplingSchema } from '#contracts/api/chat.ts'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import { tensorNames } from '#contracts/model/manifest.ts'
import type { Span } from '#contracts/span.ts'
import { PatchNotFoundError } from '#core/errors.ts'
import { generate } from '#core/generation/generate.ts'
import { createPatchShelf } from '#core/hosting/patch-shelf.ts'
import { openRoutedSession } from '#core/hosting/routed-session.ts'
import { createSpanHost } from '#core/hosting/span-host.ts'
import type { LoadedPatch, PatchWeights } from '#core/ports/engine.ts'
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
/** A patch that every part of the model feels. */
const patch = digestSchema.parse('cd'.repeat(32))
const patchWeights: PatchWeights = {
  deltas: [tensorNames.embedding, tensorNames.block(1).query, tensorNames.block(4).down].map((tensor) => ({
    tensor,
    indices: Uint32Array.of(0, 3, 40),
    values: Float32Array.of(0.4, -0.5, 0.6),
  })),
  scales: [{ block: 3, target: 'value', values: new Float32Array(config.kvHeadCount * config.headSize).fill(1.5) }],
}

function shelfOf(loader: { loadPatch(weights: PatchWeights): Promise<LoadedPatch> }, known: readonly Digest[]) {
  const weights = async (wanted: Digest) => {
    if (!known.includes(wanted)) throw new PatchNotFoundError(wanted)
    return patchWeights
  }
  return createPatchShelf({ weights, load: (one) => loader.loadPatch(one) }, { unusedBytes: 0, usedBytes: 2 ** 20 })
}

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

  async function host(
    peerId: string,
    span: Span,
    onForward: (call: number) => void = () => {},
    known: readonly Digest[] = [patch],
  ) {
    const runner = await engine.loadSpan(model, span, { threads: 1 })
    const limits = { maxSessions: 4, maxSessionsPerPeer: 4, maxLength: 200, sliceTokens: 4 }
    const patches = shelfOf(runner, known)
    const components = { runner, patches, ledger: createLedger(peerId).store, clock }
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

  async function run(local: Awaited<ReturnType<typeof engine.loadSpan>> | null, patches: readonly Digest[] = []) {
    const failures: unknown[] = []
    const localPatches = local ? { localPatches: shelfOf(local, [patch]) } : {}
    const components = { swarm: client, local, ...localPatches, clock, selfId: 'client', nodeName: null }
    const { patches: onEnds } = await shelfOf(ends, [patch]).borrow(patches)
    const patchedEnds: Pick<typeof ends, 'embed' | 'logits'> = {
      embed: (tokens, options) => ends.embed(tokens, { ...options, patches: onEnds }),
      logits: (hidden, options) => ends.logits(hidden, { ...options, patches: onEnds }),
    }
    const newSessionId = () => `00000000-0000-4000-8000-${`${ids++}`.padStart(12, '0')}`
    const events = generate(
      {
        config,
        tokenizer,
        ends: patchedEnds,
        clock,
        drawSeed: () => 1,
        onFailure: (error) => failures.push(error),
        openPipeline: (request) =>
          openRoutedSession(
            { ...components, newSessionId, ledger: ledger.store },
            { ...request, patches, modelDigest: digest, config, localOnly: local !== null, searchTimeoutMs: 5 },
          ),
      },
      { prompt, maxTokens: 24, prefillTokens: 5, sampling: samplingSchema.parse({ temperature: 0.8, seed: 9 }) },
    )
    return await tell({ events, failures })
  }

  return { host, run, kill: swarms.kill, ledger }
}

async function localText(patches: readonly Digest[] = []): Promise<string> {
  const world = await createWorld()
  const runner = await engine.loadSpan(model, { start: 0, end: 5 }, { threads: 1 })
  return (await world.run(runner, patches)).text
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

test('a patched Llama over hosts gives the patched text of one machine', async () => {
  const expected = await localText([patch])
  expect(expected).not.toBe(await localText())
  const world = await createWorld()
  await world.host('a', { start: 0, end: 2 })
  await world.host('b', { start: 2, end: 5 })
  expect((await world.run(null, [patch])).text).toBe(expected)
})

test('a host that cannot have the patch is passed over for one that can', async () => {
  const world = await createWorld()
  await world.host('a', { start: 0, end: 5 }, undefined, [])
  await world.host('b', { start: 0, end: 5 })
  expect((await world.run(null, [patch])).text).toBe(await localText([patch]))
})

test('a text whose patch no host can have ends with that word', async () => {
  const world = await createWorld()
  await world.host('a', { start: 0, end: 5 }, undefined, [])
  expect((await world.run(null, [patch])).last).toMatchObject({
    type: 'error',
    code: 'session-refused',
    params: { reason: 'unknown-patch' },
  })
})
