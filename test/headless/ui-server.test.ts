import { mkdtempSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { apiPath, startUiServer, type UiServer } from '#headless/ui-server.ts'

const token = 'c3'.repeat(32)
let server: UiServer | null = null

afterEach(async () => {
  await server?.close()
  server = null
})

async function start(port = 0, anyPortWhenTaken = false): Promise<UiServer> {
  const rendererDirectory = mkdtempSync(join(tmpdir(), 'quiltbee-ui-'))
  writeFileSync(join(rendererDirectory, 'index.html'), '<!doctype html><title>Quiltbee</title>')
  writeFileSync(join(rendererDirectory, '..', 'outside.txt'), 'secret')
  server = await startUiServer({
    rendererDirectory,
    token,
    port,
    anyPortWhenTaken,
    attach: (socket) => socket.send('hello'),
  })
  return server
}

/** Raw, so that neither the path nor the headers are tidied up on the way. */
function get(path: string, headers: Record<string, string> = {}, method = 'GET') {
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((done, failed) => {
    const port = server?.port ?? 0
    const sent = request({ host: '127.0.0.1', port, path, method, headers: { host: `127.0.0.1:${port}`, ...headers } })
    sent.on('error', failed)
    sent.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        done({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }),
      )
    })
    sent.end()
  })
}

const bearer = { authorization: `Bearer ${token}` }

describe('the UI server', () => {
  test('lets a browser in with the printed link, keeps the token in a cookie that scripts cannot read', async () => {
    const { url } = await start()
    const { pathname, search } = new URL(url)
    const first = await get(pathname + search)
    expect(first).toMatchObject({ status: 303, headers: { location: '/' } })
    const cookie = String(first.headers['set-cookie'])
    expect(cookie).toContain('HttpOnly; SameSite=Strict')
    const second = await get('/', { cookie: cookie.split(';')[0] ?? '' })
    expect(second).toMatchObject({ status: 200, body: expect.stringContaining('Quiltbee') })
  })

  test.each(['/', '/index.html', apiPath, '/nothing', '/?token=wrong'])(
    'answers 401 without the token: %s',
    async (path) => {
      await start()
      const answer = await get(path)
      expect(answer.status).toBe(401)
      expect(answer.body).not.toContain('<')
    },
  )

  test('sends a strict policy with every page', async () => {
    const { port } = await start()
    const { headers } = await get('/', bearer)
    expect(headers['content-security-policy']).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
    expect(headers['content-security-policy']).toContain(`ws://127.0.0.1:${port}`)
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' })
    expect(headers['access-control-allow-origin']).toBeUndefined()
  })

  test.each([
    '/../outside.txt',
    '/%2e%2e/outside.txt',
    '/..%2foutside.txt',
    '/%252e%252e/outside.txt',
    '/\\..\\outside.txt',
  ])('serves nothing outside of its folder: %s', async (path) => {
    await start()
    const answer = await get(path, bearer)
    expect(answer.body).not.toContain('secret')
    expect(answer.status).not.toBe(200)
  })

  test('only reads', async () => {
    await start()
    expect((await get('/', bearer, 'POST')).status).toBe(405)
  })

  test('opens the API to a WebSocket with the token, and refuses others before the upgrade', async () => {
    const { port } = await start()
    const open = (headers: Record<string, string>, origin?: string) =>
      new Promise<string>((done) => {
        const socket = new WebSocket(`ws://127.0.0.1:${port}${apiPath}`, { headers, ...(origin ? { origin } : {}) })
        socket.on('message', (data) => done(String(data)))
        socket.on('unexpected-response', (_, response) => done(String(response.statusCode)))
        socket.on('error', () => undefined)
      })
    expect(await open(bearer)).toBe('hello')
    expect(await open({})).toBe('401')
    expect(await open(bearer, 'http://evil.example')).toBe('403')
  })

  test('listens on loopback only', async () => {
    const { port } = await start()
    const { readFileSync } = await import('node:fs')
    if (process.platform !== 'linux') return
    const hex = port.toString(16).toUpperCase().padStart(4, '0')
    const listening = readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .filter((line) => line.includes(`:${hex} 00000000:0000 0A`))
    expect(listening.map((line) => line.trim().split(/\s+/)[1])).toEqual([`0100007F:${hex}`])
  })

  test('says so when the port is taken, or takes another when it may', async () => {
    const first = await start()
    await expect(start(first.port)).rejects.toMatchObject({ code: 'port-in-use', params: { port: first.port } })
    const second = await start(first.port, true)
    expect(second.port).not.toBe(first.port)
    await first.close()
  })
})
