import { ErrorEvent, ORPCError } from '@orpc/client'
import { createRouterClient } from '@orpc/server'
import { describe, expect, test } from 'vitest'
import { type ConnectionState, createConnection, retryDelayMs } from '#renderer/client/connection.ts'
import { toFailure } from '#renderer/client/failure.ts'
import type { Client, Link } from '#renderer/client/link.ts'
import { createInMemoryNode } from '#test/fakes/in-memory-node.ts'
import type { ScenarioName } from '#test/fakes/in-memory-node-scenarios.ts'

type Opened = Link & { end(): void }

function linkTo(scenario: ScenarioName): Opened {
  const client: Client = createRouterClient(createInMemoryNode({ scenario }).router)
  const { promise, resolve } = Promise.withResolvers<void>()
  return { client, closed: promise, close: resolve, end: resolve }
}

/** A connection whose pauses end when the test says so. */
function watchConnection(open: (attempt: number) => Link) {
  const states: ConnectionState[] = []
  const delays: number[] = []
  let attempt = 0
  const connection = createConnection({
    openLink: async () => open(attempt++),
    wait: async (delayMs) => void delays.push(delayMs),
    nowMs: () => 1000,
  })
  connection.subscribe((state) => states.push(state))
  const until = async (kind: ConnectionState['kind'], times: number): Promise<void> => {
    while (states.filter((state) => state.kind === kind).length < times)
      await new Promise((resolve) => setTimeout(resolve))
  }
  return { connection, states, delays, until }
}

describe('the connection', () => {
  test('exchanges versions and then hands out its client', async () => {
    const { connection, states, until } = watchConnection(() => linkTo('hosting'))
    connection.start()
    await until('connected', 1)
    expect(states.map((state) => state.kind)).toEqual(['connecting', 'connected'])
    connection.stop()
  })

  test('says so when it is lost, and comes back', async () => {
    const links = [linkTo('hosting'), linkTo('hosting')]
    const { connection, states, until } = watchConnection((attempt) => links[attempt] ?? linkTo('hosting'))
    connection.start()
    await until('connected', 1)
    links[0]?.end()
    await until('connected', 2)
    expect(states.map((state) => state.kind)).toEqual(['connecting', 'connected', 'lost', 'connected'])
    connection.stop()
  })

  test('waits longer with every try and keeps the time of the loss', async () => {
    const refuse = (attempt: number): Link => {
      if (attempt < 4) throw new Error('refused')
      return linkTo('hosting')
    }
    const { connection, states, delays, until } = watchConnection(refuse)
    connection.start()
    await until('connected', 1)
    expect(delays).toEqual([250, 500, 1000, 2000])
    expect(states.filter((state) => state.kind === 'lost').at(-1)).toMatchObject({ sinceMs: 1000, attempt: 3 })
    expect(retryDelayMs(1000)).toBe(8000)
    connection.stop()
  })

  test('trying now gives up a try that hangs', async () => {
    const signals: AbortSignal[] = []
    const hanging = (signal: AbortSignal): Promise<Link> =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
    const connection = createConnection({
      openLink: async (signal) => (signals.push(signal) === 1 ? await hanging(signal) : linkTo('hosting')),
      wait: () => new Promise(() => {}),
      nowMs: () => 1000,
    })
    const connected = new Promise<void>((resolve) => {
      connection.subscribe((state) => state.kind === 'connected' && resolve())
    })
    connection.start()
    connection.retry()
    await connected
    expect(signals).toHaveLength(2)
    connection.stop()
  })

  test('a node of another version ends the tries', async () => {
    const { connection, states, until } = watchConnection(() => linkTo('old-version'))
    connection.start()
    await until('incompatible', 1)
    expect(states.at(-1)).toEqual({ kind: 'incompatible', nodeVersion: 0 })
  })

  test('a node that refuses our version ends the tries as well', async () => {
    const refusal = new ORPCError('FAILED', {
      data: { code: 'invalid-input', params: { where: 'apiVersion', what: '' } },
    })
    const link = linkTo('hosting')
    const client = { ...link.client, connect: async () => Promise.reject(refusal) } as unknown as Client
    const { connection, states, until } = watchConnection(() => ({ ...link, client }))
    connection.start()
    await until('incompatible', 1)
    expect(states.at(-1)).toEqual({ kind: 'incompatible', nodeVersion: null })
  })
})

describe('failures of calls', () => {
  test('an answer keeps its code and parameters', () => {
    const error = new ORPCError('FAILED', { data: { code: 'missing-blocks', params: { blocks: '2:4' } } })
    expect(toFailure(error)).toEqual({ code: 'missing-blocks', params: { blocks: '2:4' } })
  })

  test('input that the contract refuses is invalid input, and an unknown code is internal', () => {
    expect(toFailure(new ORPCError('BAD_REQUEST')).code).toBe('invalid-input')
    expect(toFailure(new ORPCError('FAILED', { data: { code: 'made-up' } })).code).toBe('internal')
    expect(toFailure(new ErrorEvent()).code).toBe('internal')
  })

  test('whatever else is thrown is the connection going away', () => {
    expect(toFailure(new DOMException('closed', 'AbortError')).code).toBe('connection-lost')
    expect(toFailure(new Error('Cannot send message, WebSocket is not open.')).code).toBe('connection-lost')
  })
})
