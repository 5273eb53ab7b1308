/** One suite for every way to reach the API: what a client may rely on, whatever carries its calls. */
import { ORPCError } from '@orpc/client'
import type { ContractRouterClient } from '@orpc/contract'
import { afterEach, describe, expect, test } from 'vitest'
import type { GenerateEvent } from '#contracts/api/chat.ts'
import { apiVersion, type Contract } from '#contracts/api/contract.ts'
import { type EngineMeasureEvent, engineOverviewSchema } from '#contracts/api/engine.ts'
import { nodeStatusSchema } from '#contracts/api/node.ts'

export interface ApiUnderTest {
  /** Of a started node that hosts all of a small model. */
  readonly client: ContractRouterClient<Contract>
  close(): Promise<void>
}

export function describeApi(name: string, open: () => Promise<ApiUnderTest>): void {
  describe(`the API over ${name}`, () => {
    let api: ApiUnderTest | null = null
    afterEach(async () => {
      await api?.close()
      api = null
    })
    const connect = async () => {
      api = await open()
      return api.client
    }

    test('agrees on the version first, and refuses another with a code', async () => {
      const client = await connect()
      expect(await client.connect({ apiVersion })).toMatchObject({ apiVersion })
      await expect(client.connect({ apiVersion: 999 })).rejects.toMatchObject({
        code: 'FAILED',
        data: { code: 'invalid-input', params: { apiVersion } },
      })
    })

    test('gives a status that fits its schema', async () => {
      const client = await connect()
      const status = await client.node.status()
      expect(nodeStatusSchema.parse(status)).toEqual(status)
      expect(status.hosting.kind).toBe('hosting')
    })

    test('watching yields the status at once, again after a change, and ends when the client stops', async () => {
      const client = await connect()
      const stop = new AbortController()
      const seen: string[] = []
      for await (const status of await client.node.watch(undefined, { signal: stop.signal })) {
        seen.push(status.hosting.kind)
        if (seen.length === 1) void client.node.pause({ minutes: null })
        if (status.hosting.kind === 'paused') break
      }
      stop.abort()
      expect(seen[0]).toBe('hosting')
      expect(seen.at(-1)).toBe('paused')
      expect((await client.node.resume()).hosting.kind).toBe('hosting')
    })

    test('a generation streams its text and ends with one end event', async () => {
      const client = await connect()
      const events: GenerateEvent[] = []
      const request = { prompt: '1 2 3', maxTokens: 5, sampling: { temperature: 0 } }
      for await (const event of await client.chat.generate(request)) events.push(event)
      expect(events.map((event) => event.type).filter((type) => type !== 'text')).toEqual(['route', 'prompt', 'end'])
      expect(events.at(-1)).toMatchObject({ type: 'end', tokens: 5 })
    })

    test('stopping a generation early ends its session', async () => {
      const client = await connect()
      for await (const event of await client.chat.generate({ prompt: '1', maxTokens: 500 })) {
        if (event.type === 'text') break
      }
      await expect.poll(async () => (await client.ledger.list({})).totalEntries, { timeout: 5_000 }).toBe(1)
    })

    test('input that does not fit its schema is refused before anything runs', async () => {
      const client = await connect()
      const wrong = { prompt: 'x', maxTokens: -1 }
      await expect(client.chat.generate(wrong)).rejects.toBeInstanceOf(ORPCError)
      // @ts-expect-error: the contract knows no such field
      await expect(client.node.pause({ minutes: 5, extra: true })).rejects.toBeInstanceOf(ORPCError)
      expect((await client.node.status()).hosting.kind).toBe('hosting')
    })

    test('a failure crosses as a code with parameters, without a stack', async () => {
      const client = await connect()
      const events: GenerateEvent[] = []
      const request = { model: 'nobody-has-this', prompt: '1', maxTokens: 1 }
      for await (const event of await client.chat.generate(request)) events.push(event)
      expect(events).toEqual([
        { type: 'error', code: 'model-not-found', params: { model: 'nobody-has-this' }, tokens: 0, hops: [] },
      ])
      expect(JSON.stringify(events)).not.toContain('.ts')
    })

    test('the ledger lists what happened and verifies', async () => {
      const client = await connect()
      for await (const _ of await client.chat.generate({ prompt: '1', maxTokens: 2 }));
      const list = await client.ledger.list({ limit: 10 })
      expect(list.rows).toMatchObject([{ sequence: 0, kind: 'used', self: true, tokensIn: 1, tokensOut: 1 }])
      const events = []
      for await (const event of await client.ledger.verify()) events.push(event)
      expect(events.at(-1)).toMatchObject({ type: 'verdict', verdict: { kind: 'intact', entries: 1 } })
    })

    test('hardware and models are told', async () => {
      const client = await connect()
      expect((await client.hardware.get()).profile.cpu.logicalCores).toBeGreaterThan(0)
      expect((await client.models.list()).length).toBeGreaterThan(0)
    })

    test('says what it computes with, and what else there is', async () => {
      const client = await connect()
      const overview = await client.engine.overview({})
      expect(engineOverviewSchema.parse(overview)).toEqual(overview)
      expect(overview.inUse).toEqual((await client.node.status()).engine)
      expect(overview.backends.map(({ backend }) => backend)).toContain(overview.inUse?.backend)
      expect(overview.override).toBeNull()
    })

    test('measures engines: what it is at, step by step, and then what came of it', async () => {
      const client = await connect()
      const events: EngineMeasureEvent[] = []
      for await (const event of await client.engine.measure()) events.push(event)
      const [first, ...others] = events
      expect(first).toEqual({ type: 'looking' })
      const last = others.pop()
      expect(others.map((event) => event.type === 'progress' && event.done)).toEqual(others.map((_, done) => done))
      if (last?.type !== 'done') throw new Error('expected the overview')
      expect(last.overview.measuredAtMs).not.toBeNull()
      expect(await client.engine.overview({})).toMatchObject({ measuredAtMs: last.overview.measuredAtMs })
    })

    test('uses the engine that its owner chooses, until that is taken back', async () => {
      const client = await connect()
      const { inUse: before, backends } = await client.engine.overview({})
      const other = backends.find(({ backend, availability }) => {
        return availability.kind === 'available' && backend !== before?.backend
      })
      if (other === undefined) throw new Error('expected another engine')
      const used = async () => (await client.node.status()).engine
      const state = async () => (await client.node.status()).hosting.kind
      const wish = { backend: other.backend, format: other.formats[0] ?? null }
      expect((await client.engine.choose(wish)).override).toEqual(wish)
      await expect.poll(used).toEqual({ ...wish, why: 'owner-chose' })
      await expect.poll(state).toBe('hosting')
      expect((await client.engine.choose(null)).override).toBeNull()
      await expect.poll(used).toEqual(before)
    })

    test('an engine that this build does not have is refused, and nothing changes', async () => {
      const client = await connect()
      const before = await client.engine.overview({})
      await expect(client.engine.choose({ backend: 'abacus', format: null })).rejects.toMatchObject({
        data: { code: 'invalid-input', params: { where: 'backend' } },
      })
      await expect(client.engine.choose({ backend: 'x'.repeat(65), format: null })).rejects.toBeInstanceOf(ORPCError)
      expect(await client.engine.overview({})).toEqual(before)
    })

    test('runs and patches are listed, and those that nobody knows are named', async () => {
      const client = await connect()
      expect(Array.isArray(await client.training.runs())).toBe(true)
      expect((await client.patches.list({})).usage.bytes).toBeGreaterThanOrEqual(0)
      const run = '00000000-0000-4000-8000-000000000000'
      await expect(client.training.show({ id: run })).rejects.toMatchObject({ data: { code: 'run-not-found' } })
      const patch = 'ffffffff'
      await expect(client.patches.show({ patch })).rejects.toMatchObject({ data: { code: 'patch-not-found' } })
    })

    test('a stream that fails while it is read says why, as any call does', async () => {
      const client = await connect()
      const read = async () => {
        for await (const _ of await client.training.watch({ id: '00000000-0000-4000-8000-000000000000' }));
      }
      await expect(read()).rejects.toMatchObject({ code: 'FAILED', data: { code: 'run-not-found' } })
    })
  })
}
