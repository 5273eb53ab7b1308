import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { RPCHandler } from '@orpc/server/ws'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { toFailure } from '#renderer/client/failure.ts'
import { apiUrl, openWebSocketLink } from '#renderer/client/websocket-link.ts'
import { createInMemoryNode } from '#test/fakes/in-memory-node.ts'

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

/** A node behind a real socket; `cut` ends every connection as a killed process would. */
async function serve() {
  const handler = new RPCHandler(createInMemoryNode({ paceMs: 1 }).router)
  const server = createServer()
  const sockets = new WebSocketServer({ server, path: '/api' })
  sockets.on('connection', (socket) => void handler.upgrade(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const socket of sockets.clients) socket.terminate()
  }
  stops.push(async () => {
    cut()
    await new Promise((resolve) => server.close(resolve))
  })
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, cut }
}

describe('the WebSocket link', () => {
  test('the API lives beside the page', () => {
    expect(apiUrl('http://127.0.0.1:4000')).toBe('ws://127.0.0.1:4000/api')
    expect(apiUrl('https://node.example')).toBe('wss://node.example/api')
  })

  test('waits for the socket to open, then calls and streams', async () => {
    const { origin } = await serve()
    const link = await openWebSocketLink(origin)
    expect((await link.client.connect({ apiVersion: 1 })).version).toBe('0.1.0')
    const types: string[] = []
    for await (const event of await link.client.chat.generate({ prompt: 'Once', maxTokens: 2 })) types.push(event.type)
    expect(types).toEqual(['route', 'prompt', 'text', 'text', 'end'])
    link.close()
    await link.closed
  })

  test('leaving a stream early stops the work at the node', async () => {
    const { origin } = await serve()
    const { client, close } = await openWebSocketLink(origin)
    for await (const event of await client.chat.generate({ prompt: '', maxTokens: 500 })) {
      if (event.type === 'text') break
    }
    await expect.poll(async () => (await client.ledger.list({ limit: 1 })).rows[0]?.outcome).toBe('interrupted')
    close()
  })

  test('when the node dies, waiting calls and streams end as a lost connection', async () => {
    const { origin, cut } = await serve()
    const { client, closed } = await openWebSocketLink(origin)
    const stream = await client.node.watch()
    await stream.next()
    const waiting = stream.next()
    cut()
    await closed
    await expect(waiting.catch(toFailure)).resolves.toEqual({ code: 'connection-lost', params: {} })
    await expect(client.node.status().catch(toFailure)).resolves.toMatchObject({ code: 'connection-lost' })
  })

  test('where nobody listens, it closes and calls fail', async () => {
    const { client, closed } = await openWebSocketLink('http://127.0.0.1:9')
    await closed
    await expect(client.node.status().catch(toFailure)).resolves.toMatchObject({ code: 'connection-lost' })
  })
})
