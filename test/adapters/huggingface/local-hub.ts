/**
 * A hub on loopback that answers as the real one does where our adapter asks: model info, file lists in pages, files by
 * byte range, large ones through a redirect to another host. A test tells it how to misbehave, request by request.
 */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What goes wrong with one answer; `undefined` for nothing. */
export type Mishap =
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Record<string, string> }
  /** The connection breaks after so many bytes of the body. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Nothing follows after so many bytes, and the connection stays open. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** The answer ends as if complete, early. */
  | { readonly kind: 'short'; readonly bytes: number }
  /** More bytes than were asked for. */
  | { readonly kind: 'long'; readonly bytes: number }
  | { readonly kind: 'wrong-byte'; readonly at: number }
  | { readonly kind: 'other-total'; readonly totalBytes: number }
  | { readonly kind: 'other-start'; readonly begin: number }
  | { readonly kind: 'whole-file' }
  | { readonly kind: 'compressed' }
  | { readonly kind: 'body'; readonly body: string; readonly headers?: Record<string, string> }

export interface HubRequest {
  readonly kind: 'info' | 'tree' | 'file' | 'blob'
  readonly path: string
  readonly authorization: string | undefined
  readonly range: string | undefined
  readonly host: string | undefined
}

export interface LocalHubInit {
  readonly repository: string
  readonly revision?: string
  readonly files: Readonly<Record<string, Uint8Array>>
  /** Stored as LFS objects; the others are plain blobs. */
  readonly large?: readonly string[]
  readonly cardData?: unknown
  readonly pageSize?: number
  /** Other digests or sizes than the files have. */
  readonly listed?: Readonly<Record<string, object>>
  readonly mishap?: (request: HubRequest, count: number) => Mishap | undefined
}

export interface LocalHub extends AsyncDisposable {
  readonly url: string
  readonly requests: readonly HubRequest[]
}

export const localRevision = '0123456789abcdef0123456789abcdef01234567'

export async function startLocalHub(init: LocalHubInit): Promise<LocalHub> {
  const requests: HubRequest[] = []
  const blobs = createServer()
  const hub = createServer()
  const blobUrl = await listen(blobs)
  const url = await listen(hub)
  const respond = createResponder(init, requests, { url, blobUrl })
  for (const server of [hub, blobs]) server.on('request', respond)
  return {
    url,
    requests,
    async [Symbol.asyncDispose]() {
      for (const server of [hub, blobs]) {
        server.closeAllConnections()
        await new Promise((done) => server.close(done))
      }
    },
  }
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function createResponder(init: LocalHubInit, requests: HubRequest[], urls: { url: string; blobUrl: string }) {
  const revision = init.revision ?? localRevision
  const counts = new Map<string, number>()
  const large = new Set(init.large ?? [])
  const list = Object.entries(init.files).map(([path, bytes]) => ({
    ...entryOf(path, bytes, large.has(path)),
    ...init.listed?.[path],
  }))
  const folders = [{ type: 'directory', path: 'onnx', size: 0, oid: '0'.repeat(40) }]

  return (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', urls.url)
    const seen = describe(request, url)
    requests.push(seen)
    const key = `${seen.kind} ${seen.path}`
    const count = counts.get(key) ?? 0
    counts.set(key, count + 1)
    const mishap = init.mishap?.(seen, count)
    if (mishap?.kind === 'status') return response.writeHead(mishap.status, mishap.headers).end('no')
    if (mishap?.kind === 'body') return response.writeHead(200, mishap.headers).end(mishap.body)
    if (seen.kind === 'info')
      return json(response, {
        _id: 'x',
        id: init.repository,
        sha: revision,
        cardData: init.cardData,
        lastModified: '2026-01-01',
      })
    if (seen.kind === 'tree') return page(response, [...folders, ...list], url, init.pageSize ?? 1000)
    const bytes = init.files[seen.path]
    if (bytes === undefined) return response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end()
    if (seen.kind === 'file' && large.has(seen.path)) {
      return response.writeHead(302, { location: `${urls.blobUrl}/blob/${seen.path}` }).end()
    }
    return serve(response, bytes, seen.range, mishap)
  }
}

function describe(request: IncomingMessage, url: URL): HubRequest {
  const path = decodeURIComponent(url.pathname)
  const common = {
    authorization: request.headers.authorization,
    range: request.headers.range,
    host: request.headers.host,
  }
  if (path.startsWith('/blob/')) return { kind: 'blob', path: path.slice('/blob/'.length), ...common }
  if (path.startsWith('/api/')) return { kind: path.includes('/tree/') ? 'tree' : 'info', path, ...common }
  return { kind: 'file', path: path.split('/').slice(5).join('/'), ...common }
}

function entryOf(path: string, bytes: Uint8Array, isLarge: boolean): object {
  const oid = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
  if (!isLarge) return { type: 'file', path, size: bytes.length, oid }
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const lfs = { oid: sha256, size: bytes.length, pointerSize: 130 }
  return { type: 'file', path, size: bytes.length, oid: 'f'.repeat(40), lfs }
}

function json(response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value))
}

function page(response: ServerResponse, entries: readonly object[], url: URL, size: number): void {
  const begin = Number(url.searchParams.get('cursor') ?? 0)
  const next = new URL(url)
  next.searchParams.set('cursor', String(begin + size))
  const link = begin + size < entries.length ? { link: `<${next.href}>; rel="next"` } : {}
  json(response, entries.slice(begin, begin + size), { ...link })
}

function serve(
  response: ServerResponse,
  whole: Uint8Array,
  range: string | undefined,
  mishap: Mishap | undefined,
): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? []
  const isPart = from !== undefined && mishap?.kind !== 'whole-file'
  const begin = isPart ? Number(from) : 0
  const end = isPart ? Math.min(Number(to) + 1, whole.length) : whole.length
  if (begin >= end && whole.length > 0) return void response.writeHead(416).end()
  const bytes = Buffer.from(whole.subarray(begin, mishap?.kind === 'long' ? end + mishap.bytes : end))
  if (mishap?.kind === 'wrong-byte' && mishap.at >= begin && mishap.at < end)
    bytes.writeUInt8((bytes.readUInt8(mishap.at - begin) + 1) % 256, mishap.at - begin)
  const total = mishap?.kind === 'other-total' ? mishap.totalBytes : whole.length
  const start = mishap?.kind === 'other-start' ? mishap.begin : begin
  const body = mishap?.kind === 'short' ? bytes.subarray(0, mishap.bytes) : bytes
  response.writeHead(isPart ? 206 : 200, {
    'content-length': body.length,
    ...(isPart ? { 'content-range': `bytes ${start}-${end - 1}/${total}` } : {}),
    ...(mishap?.kind === 'compressed' ? { 'content-encoding': 'gzip' } : {}),
  })
  if (mishap?.kind !== 'cut' && mishap?.kind !== 'stall') return void response.end(body)
  // Headers go out first, so that a break after 0 bytes is one in the body.
  response.flushHeaders()
  response.write(body.subarray(0, mishap.afterBytes), () => {
    if (mishap.kind === 'cut') response.destroy()
  })
}
