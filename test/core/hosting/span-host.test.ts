import { describe, expect, test } from 'vitest'
import { digestSchema } from '#contracts/digest.ts'
import { ContextTooLongError, SessionRefusedError } from '#core/errors.ts'
import { SessionViolationError } from '#core/hosting/served-session.ts'
import { createSpanHost, type SpanHostLimits } from '#core/hosting/span-host.ts'
import type { SpanRunner, SpanSession } from '#core/ports/engine.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'
import type { HostedSession, SessionRequest } from '#core/ports/swarm.ts'
import { createFakeClock } from '#test/fakes/clock.ts'
import { createToyRunner, toyConfig, toyEnds } from '../generation/toy-model.ts'
import { createLedger, modelDigest } from './toy-swarm.ts'

const span = { start: 1, end: 4 }
const signal = new AbortController().signal
const noTraffic = { bytesReceived: 0, bytesSent: 0 }
const { hiddenSize } = toyConfig

function request(number: number, changes: Partial<SessionRequest> = {}): SessionRequest {
  const sessionId = `00000000-0000-4000-8000-${`${number}`.padStart(12, '0')}`
  return { sessionId, modelDigest, span, maxLength: 50, hiddenSize, ...changes }
}

const manyHidden = await toyEnds.embed(Array.from({ length: 300 }, (_, i) => i % 30))

function hidden(tokens: number): Float32Array {
  return manyHidden.slice(0, tokens * hiddenSize)
}

/** A runner whose steps wait until the test lets them go, and which notes who ran. */
function createHeldRunner() {
  const toy = createToyRunner(span)
  const log: string[] = []
  const waiting: (() => void)[] = []
  let names = 0
  let held = false
  const runner: SpanRunner = {
    ...toy,
    openSession(init) {
      const session = toy.openSession(init)
      const name = 'ABCDEF'[names++] ?? '?'
      const forward: SpanSession['forward'] = async (input, options) => {
        log.push(`${name}${input.length / hiddenSize}`)
        if (held) await new Promise<void>((resolve) => waiting.push(resolve))
        options?.signal?.throwIfAborted()
        return await session.forward(input, options)
      }
      return Object.create(session, { forward: { value: forward } })
    },
  }
  return {
    runner,
    log,
    toy,
    hold() {
      held = true
    },
    async releaseAll() {
      held = false
      for (const resolve of waiting.splice(0)) resolve()
    },
  }
}

function createWorld(limits: Partial<SpanHostLimits> = {}, runner?: SpanRunner) {
  const clock = createFakeClock()
  const ledger = createLedger('host')
  const toy = createToyRunner(span)
  const all = { maxSessions: 3, maxSessionsPerPeer: 2, maxLength: 50, sliceTokens: 4, ...limits }
  const host = createSpanHost({ runner: runner ?? toy, ledger: ledger.store, clock, modelDigest, hiddenSize }, all)
  return { clock, ledger, toy, host }
}

describe('admission', () => {
  const otherModel = digestSchema.parse('f'.repeat(64))

  test.each([
    ['another model', { modelDigest: otherModel }, 'wrong-model'],
    ['another hidden size', { hiddenSize: 8 }, 'wrong-model'],
    ['blocks before its own', { span: { start: 0, end: 2 } }, 'wrong-span'],
    ['blocks after its own', { span: { start: 3, end: 5 } }, 'wrong-span'],
    ['a longer session than it keeps', { maxLength: 51 }, 'too-long'],
  ])('refuses %s', async (_, changes, reason) => {
    const { host, toy } = createWorld()
    await expect(host.open('p', request(1, changes))).rejects.toMatchObject({ code: 'session-refused', reason })
    expect([host.sessions, toy.openSessions]).toEqual([0, 0])
  })

  test('opens a session over part of its blocks', async () => {
    const { host, ledger } = createWorld()
    const session = await host.open('p', request(1, { span: { start: 2, end: 3 } }))
    await session.ended('completed', noTraffic)
    expect(ledger.records).toMatchObject([{ span: { start: 2, end: 3 } }])
  })

  test('refuses a peer that has enough sessions, and everybody when all places are taken', async () => {
    const { host } = createWorld()
    const first = await host.open('p', request(1))
    await host.open('p', request(2))
    await expect(host.open('p', request(3))).rejects.toMatchObject({ reason: 'busy' })
    await host.open('q', request(4))
    await expect(host.open('r', request(5))).rejects.toMatchObject({ reason: 'busy' })
    await first.ended('completed', noTraffic)
    await host.open('r', request(6))
    expect(host.sessions).toBe(3)
  })

  test('does not let more in than fit when all ask at once', async () => {
    const { host } = createWorld()
    const results = await Promise.allSettled([1, 2, 3, 4, 5].map((number) => host.open(`p${number}`, request(number))))
    expect(results.map(({ status }) => status).sort()).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'rejected',
      'rejected',
    ])
  })

  test('refuses a session id that is in use', async () => {
    const { host } = createWorld()
    await host.open('p', request(1))
    await expect(host.open('q', request(1))).rejects.toThrow(SessionViolationError)
    expect(host.sessions).toBe(1)
  })

  test('opens nothing when the journal cannot be written', async () => {
    const { host, ledger, toy } = createWorld()
    await ledger.store.close()
    await expect(host.open('p', request(1))).rejects.toMatchObject({ code: 'storage-failed' })
    expect([host.sessions, toy.openSessions]).toEqual([0, 0])
  })

  test('tells when the number of sessions changes', async () => {
    const { host } = createWorld()
    const seen: number[] = []
    const stop = host.onChange(() => seen.push(host.sessions))
    const session = await host.open('p', request(1))
    await session.ended('completed', noTraffic)
    stop()
    await host.open('p', request(2))
    expect(seen).toEqual([1, 0])
  })
})

describe('steps', () => {
  test('give what the blocks give, also when they are cut into slices', async () => {
    const { host } = createWorld()
    const session = await host.open('p', request(1))
    const expected = await createToyRunner(span).openSession({ maxLength: 50 }).forward(hidden(11))
    expect(await session.forward(hidden(11), 0, { signal })).toEqual(expected)
  })

  test('may go back to an earlier position', async () => {
    const { host } = createWorld()
    const session = await host.open('p', request(1))
    const first = await session.forward(hidden(8), 0, { signal })
    const again = await session.forward(hidden(8).subarray(5 * hiddenSize), 5, { signal })
    expect(again).toEqual(first.slice(5 * hiddenSize))
  })

  test.each([
    ['a position ahead of the session', 5, hidden(1)],
    ['a negative position', -1, hidden(1)],
    ['a position that is no integer', 0.5, hidden(1)],
    ['no positions at all', 2, new Float32Array(0)],
    ['part of a position', 2, new Float32Array(hiddenSize + 1)],
  ])('%s breaks the protocol', async (_, position, values) => {
    const { host } = createWorld()
    const session = await host.open('p', request(1))
    await session.forward(hidden(2), 0, { signal })
    await expect(session.forward(values, position, { signal })).rejects.toMatchObject({ code: 'protocol-violation' })
  })

  test('past the length agreed are refused before anything is computed', async () => {
    const { host, toy } = createWorld()
    const session = await host.open('p', request(1, { maxLength: 6 }))
    await session.forward(hidden(6), 0, { signal })
    const before = toy.forwards
    await expect(session.forward(hidden(1), 6, { signal })).rejects.toThrow(ContextTooLongError)
    expect(toy.forwards).toBe(before)
  })

  test('of one session must not overlap', async () => {
    const { host } = createWorld()
    const session = await host.open('p', request(1))
    const first = session.forward(hidden(8), 0, { signal })
    await expect(session.forward(hidden(1), 0, { signal })).rejects.toThrow(SessionViolationError)
    await first
    await session.forward(hidden(1), 8, { signal })
  })

  test('run together, and a short one goes with the first slices of long ones', async () => {
    const { runner, log } = createHeldRunner()
    const { host } = createWorld({ maxSessions: 3, maxSessionsPerPeer: 3 }, runner)
    const [a, b, c] = await Promise.all([1, 2, 3].map((number) => host.open('p', request(number))))
    await Promise.all([
      a?.forward(hidden(14), 0, { signal }),
      b?.forward(hidden(1), 0, { signal }),
      c?.forward(hidden(8), 0, { signal }),
    ])
    expect(log).toEqual(['A4', 'B1', 'C4', 'A4', 'C4', 'A4', 'A2'])
  })

  test('that are aborted while waiting leave the queue, and the session where it was', async () => {
    const held = createHeldRunner()
    const { host } = createWorld({}, held.runner)
    const a = await host.open('p', request(1))
    const b = await host.open('q', request(2))
    held.hold()
    const controller = new AbortController()
    const first = a.forward(hidden(2), 0, { signal })
    const second = b.forward(hidden(2), 0, { signal: controller.signal })
    controller.abort()
    await expect(second).rejects.toMatchObject({ name: 'AbortError' })
    await held.releaseAll()
    await first
    expect(held.log).toEqual(['A2'])
    await b.forward(hidden(2), 0, { signal })
  })

  test('that fail halfway leave no half step behind', async () => {
    const toy = createToyRunner(span)
    let failAt = 2
    const runner: SpanRunner = {
      ...toy,
      openSession(init) {
        const session = toy.openSession(init)
        const forward: SpanSession['forward'] = async (...args) => {
          if (failAt-- === 0) throw new Error('out of memory')
          return await session.forward(...args)
        }
        return Object.create(session, { forward: { value: forward } })
      },
    }
    const { host, ledger } = createWorld({}, runner)
    const session = await host.open('p', request(1))
    await expect(session.forward(hidden(12), 0, { signal })).rejects.toThrow('out of memory')
    await expect(session.forward(hidden(1), 4, { signal })).rejects.toThrow(SessionViolationError)
    const expected = await createToyRunner(span).openSession({ maxLength: 50 }).forward(hidden(3))
    expect(await session.forward(hidden(3), 0, { signal })).toEqual(expected)
    await session.ended('completed', noTraffic)
    expect(ledger.records).toMatchObject([{ tokensIn: 3 }])
  })
})

describe('the ledger', () => {
  async function served(session: HostedSession): Promise<void> {
    await session.forward(hidden(10), 0, { signal })
    for (let i = 0; i < 4; i++) await session.forward(hidden(1), 10 + i, { signal })
  }

  test.each(['completed', 'interrupted', 'failed'] as const)('a session that %s has one entry', async (how) => {
    const { host, ledger, clock, toy } = createWorld()
    const session = await host.open('peer', request(1))
    const startedAtMs = clock.now()
    await served(session)
    clock.advance(700)
    await Promise.all([
      session.ended(how, { bytesReceived: 11, bytesSent: 22 }),
      session.ended('failed', { bytesReceived: 0, bytesSent: 0 }),
    ])
    expect(ledger.records).toHaveLength(1)
    expect(ledger.records).toMatchObject([
      {
        kind: 'served',
        peerId: 'peer',
        modelDigest,
        span,
        tokensIn: 10,
        tokensOut: 4,
        bytesReceived: 11,
        bytesSent: 22,
      },
    ])
    expect(ledger.records).toMatchObject([
      { sessionId: request(1).sessionId, startedAtMs, durationMs: 700, outcome: how },
    ])
    expect(ledger.notes).toEqual([])
    expect([host.sessions, toy.openSessions]).toEqual([0, 0])
  })

  test('a session under way is journalled from its opening on, and at most every five seconds', async () => {
    const { host, ledger, clock } = createWorld()
    const session = await host.open('peer', request(1))
    expect(ledger.notes).toMatchObject([{ tokensIn: 0, outcome: 'failed' }])
    clock.advance(4999)
    await served(session)
    expect(ledger.notes).toMatchObject([{ tokensIn: 0 }])
    clock.advance(1)
    session.progressed?.({ bytesReceived: 5, bytesSent: 6 })
    await expect
      .poll(() => ledger.notes)
      .toMatchObject([{ tokensIn: 10, tokensOut: 4, bytesReceived: 5, bytesSent: 6 }])
    await session.forward(hidden(1), 14, { signal })
    await session.ended('completed', noTraffic)
    session.progressed?.({ bytesReceived: 7, bytesSent: 7 })
    expect(ledger.notes).toEqual([])
    expect(ledger.records).toHaveLength(1)
  })

  test('the entry is written after the last note, never before', async () => {
    const written: string[] = []
    const slow = Promise.withResolvers<void>()
    const { store } = createLedger('host')
    const ledger: Pick<LedgerStore, 'append' | 'journal'> = {
      async append(record) {
        written.push('entry')
        return await store.append(record)
      },
      async journal() {
        if (written.length > 0) await slow.promise
        written.push('note')
      },
    }
    const clock = createFakeClock()
    const limits = { maxSessions: 1, maxSessionsPerPeer: 1, maxLength: 50 }
    const host = createSpanHost({ runner: createToyRunner(span), ledger, clock, modelDigest, hiddenSize }, limits)
    const session = await host.open('peer', request(1))
    clock.advance(5000)
    await session.forward(hidden(1), 0, { signal })
    const ended = session.ended('completed', noTraffic)
    await new Promise((resolve) => setTimeout(resolve, 5))
    slow.resolve()
    await ended
    expect(written).toEqual(['note', 'note', 'entry'])
  })

  test('a session that ends in the middle of a step is entered when the step is over, and the step is told', async () => {
    const held = createHeldRunner()
    const { host, ledger } = createWorld({}, held.runner)
    const session = await host.open('peer', request(1))
    held.hold()
    const step = session.forward(hidden(8), 0, { signal })
    const outcome = expect(step).rejects.toThrow(SessionViolationError)
    await expect.poll(() => held.log).toEqual(['A4'])
    const ended = session.ended('interrupted', noTraffic)
    expect(held.toy.openSessions).toBe(1)
    await held.releaseAll()
    await outcome
    await ended
    expect(held.log).toEqual(['A4'])
    expect(held.toy.openSessions).toBe(0)
    expect(ledger.records).toMatchObject([{ outcome: 'interrupted', tokensIn: 0 }])
    await expect(session.forward(hidden(1), 0, { signal })).rejects.toThrow(SessionViolationError)
  })
})

describe('stopping', () => {
  test('draining lets sessions end by themselves and admits no more', async () => {
    const { host, ledger } = createWorld()
    const session = await host.open('p', request(1))
    const drained = host.drain()
    await expect(host.open('q', request(2))).rejects.toMatchObject({ reason: 'paused' })
    await session.forward(hidden(1), 0, { signal })
    await session.ended('completed', noTraffic)
    await drained
    expect(ledger.records).toMatchObject([{ outcome: 'completed' }])
  })

  test('draining can be given up', async () => {
    const { host } = createWorld()
    await host.open('p', request(1))
    const controller = new AbortController()
    const drained = host.drain({ signal: controller.signal })
    controller.abort()
    await expect(drained).rejects.toMatchObject({ name: 'AbortError' })
  })

  test('closing ends all sessions with what is known of them, once', async () => {
    const held = createHeldRunner()
    const { host, ledger } = createWorld({}, held.runner)
    const a = await host.open('p', request(1))
    const b = await host.open('q', request(2))
    await a.forward(hidden(3), 0, { signal })
    a.progressed?.({ bytesReceived: 3, bytesSent: 4 })
    held.hold()
    const step = expect(b.forward(hidden(3), 0, { signal })).rejects.toThrow(SessionRefusedError)
    const closed = host.close()
    await held.releaseAll()
    await Promise.all([step, closed, host.close()])
    await a.ended('interrupted', { bytesReceived: 9, bytesSent: 9 })
    expect([host.sessions, held.toy.openSessions]).toEqual([0, 0])
    const told = ledger.records.map(({ peerId, outcome, bytesSent }) => ({ peerId, outcome, bytesSent }))
    expect(told).toHaveLength(2)
    expect(told).toContainEqual({ peerId: 'p', outcome: 'interrupted', bytesSent: 4 })
    expect(told).toContainEqual({ peerId: 'q', outcome: 'interrupted', bytesSent: 0 })
    await expect(host.open('p', request(3))).rejects.toMatchObject({ reason: 'paused' })
  })

  test('a session that was being opened when the host closed is refused and recorded', async () => {
    const { host, ledger, toy } = createWorld()
    const opening = expect(host.open('p', request(1))).rejects.toMatchObject({ reason: 'paused' })
    await host.close()
    await opening
    expect(toy.openSessions).toBe(0)
    expect(ledger.notes).toEqual([])
  })
})
