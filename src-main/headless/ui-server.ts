/** The UI of a headless node: the renderer's files and the API's WebSocket on loopback, for holders of the access token. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import sirv from 'sirv'
import { type WebSocket, WebSocketServer } from 'ws'
import { contentSecurityPolicy } from '#app/content-security-policy.ts'
import { CodedError } from '#contracts/errors.ts'
import { admit, cookieName, type GuardInit } from './request-guard.ts'

export const apiPath = '/api'
/** More than any message of the contract: a prompt of the largest size is below it. */
const maximumMessageBytes = 1 << 20
const maximumConnections = 64

export interface UiServerInit {
  readonly rendererDirectory: string
  readonly token: string
  /** 0 takes any free port. */
  readonly port: number
  /** When the port is taken: take any other instead of failing. */
  readonly anyPortWhenTaken: boolean
  /** Called for every admitted WebSocket. */
  readonly attach: (socket: WebSocket) => void
}

export interface UiServer {
  readonly port: number
  /** With the access token: opening it lets a browser in. */
  readonly url: string
  close(): Promise<void>
}

/** Throws `port-in-use` when the port is taken and no other may be used. */
export async function startUiServer(init: UiServerInit): Promise<UiServer> {
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 })
  server.maxConnections = maximumConnections
  const port = await listen(server, init)
  const guard: GuardInit = { port, token: init.token }
  const files = serveFiles(init.rendererDirectory, port)
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maximumMessageBytes })
  server.on('request', (request, response) => answer(guard, files, request, response))
  server.on('upgrade', (request, socket, head) => upgrade(guard, sockets, init.attach, request, socket, head))
  return {
    port,
    url: `http://127.0.0.1:${port}/?token=${init.token}`,
    close: () => closeServer(server, sockets),
  }
}

async function listen(server: Server, init: UiServerInit): Promise<number> {
  try {
    return await listenOn(server, init.port)
  } catch (cause) {
    const taken = cause instanceof Error && 'code' in cause && (cause.code === 'EADDRINUSE' || cause.code === 'EACCES')
    if (!taken) throw cause
    if (init.anyPortWhenTaken) return await listenOn(server, 0)
    throw new CodedError('port-in-use', `port ${init.port} is in use`, { port: init.port }, { cause })
  }
}

function listenOn(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: '127.0.0.1', port }, () => {
      server.off('error', reject)
      resolve((server.address() as AddressInfo).port)
    })
  })
}

type FileHandler = (request: IncomingMessage, response: ServerResponse) => void

function serveFiles(directory: string, port: number): FileHandler {
  const policy = contentSecurityPolicy([`ws://127.0.0.1:${port}`, `ws://localhost:${port}`])
  const files = sirv(directory, { etag: true, dotfiles: false })
  return (request, response) => {
    response.setHeader('Content-Security-Policy', policy)
    files(request, response, () => plain(response, 404, 'There is nothing here.'))
  }
}

function answer(guard: GuardInit, files: FileHandler, request: IncomingMessage, response: ServerResponse): void {
  for (const [name, value] of Object.entries(commonHeaders)) response.setHeader(name, value)
  const admission = admit(guard, { headers: request.headers, url: request.url ?? '/' })
  switch (admission.kind) {
    case 'refused':
      plain(response, admission.status, refusalText(admission))
      break
    case 'set-cookie':
      response.setHeader('Set-Cookie', `${cookieName(guard.port)}=${guard.token}; Path=/; HttpOnly; SameSite=Strict`)
      response.setHeader('Location', admission.location)
      plain(response, 303, '')
      break
    case 'admitted':
      if (request.method === 'GET' || request.method === 'HEAD') files(request, response)
      else plain(response, 405, 'Only reading is possible.')
  }
}

const commonHeaders = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-cache',
} as const

function refusalText(admission: { status: 401 | 403; why: string }): string {
  if (admission.status === 403) return `Refused: ${admission.why}.`
  return `Refused: ${admission.why}. Open the whole link that the node printed when it started; it ends in "?token=…".`
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status
  response.setHeader('Content-Type', 'text/plain; charset=utf-8')
  response.end(text === '' ? '' : `${text}\n`)
}

function upgrade(
  guard: GuardInit,
  sockets: WebSocketServer,
  attach: (socket: WebSocket) => void,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  socket.on('error', () => socket.destroy())
  const admission = admit(guard, { headers: request.headers, url: request.url ?? '/' })
  if (admission.kind === 'admitted' && request.url === apiPath) {
    sockets.handleUpgrade(request, socket, head, attach)
    return
  }
  const status = admission.kind === 'refused' ? admission.status : 404
  socket.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}

async function closeServer(server: Server, sockets: WebSocketServer): Promise<void> {
  for (const client of sockets.clients) client.terminate()
  server.closeAllConnections()
  await new Promise<void>((resolve) => server.close(() => resolve()))
}
