/**
 * Who may speak to a headless node: whoever holds the access token, from a page that the node itself served. The Host
 * check keeps a foreign web site from reaching the node through DNS rebinding, the Origin check from opening a WebSocket
 * with the browser's cookie. Deciding is pure; the server acts on the answer.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

export type Admission =
  | { readonly kind: 'admitted' }
  /** The token came in the address: keep it in a cookie and take it out of the address bar and history. */
  | { readonly kind: 'set-cookie'; readonly location: string }
  | { readonly kind: 'refused'; readonly status: 401 | 403; readonly why: string }

export interface GuardInit {
  readonly port: number
  readonly token: string
}

export function cookieName(port: number): string {
  return `quiltbee-${port}`
}

/** Decides on one request by its headers and path (`/…?token=…`). */
export function admit(init: GuardInit, request: { headers: IncomingHttpHeaders; url: string }): Admission {
  const hosts = [`127.0.0.1:${init.port}`, `localhost:${init.port}`]
  const { host, origin } = request.headers
  if (host === undefined || !hosts.includes(host)) return refused(403, 'this address is not the node’s own')
  if (origin !== undefined && origin !== `http://${host}`) return refused(403, 'this page is not the node’s own')
  const url = parseUrl(request.url)
  if (url === null) return refused(403, 'not an address')
  const given = url.searchParams.get('token')
  if (given !== null && sameToken(given, init.token)) {
    url.searchParams.delete('token')
    return { kind: 'set-cookie', location: `${url.pathname}${url.search}` }
  }
  const held = bearerToken(request.headers) ?? cookieToken(request.headers, init.port)
  if (held !== null && sameToken(held, init.token)) return { kind: 'admitted' }
  return refused(401, 'the access token is missing or wrong')
}

function refused(status: 401 | 403, why: string): Admission {
  return { kind: 'refused', status, why }
}

/** Only the path and query count; `//host/…` and absolute forms stay paths, so that a redirect never leaves the node. */
function parseUrl(url: string): URL | null {
  try {
    const parsed = new URL(`http://node${url.startsWith('/') ? '' : '/'}${url}`)
    parsed.pathname = parsed.pathname.replace(/^\/+/, '/')
    return parsed
  } catch {
    return null
  }
}

function bearerToken(headers: IncomingHttpHeaders): string | null {
  return /^Bearer ([0-9a-f]{64})$/.exec(headers.authorization ?? '')?.[1] ?? null
}

function cookieToken(headers: IncomingHttpHeaders, port: number): string | null {
  const wanted = `${cookieName(port)}=`
  const cookie = (headers.cookie ?? '').split(/;\s*/).find((part) => part.startsWith(wanted))
  return cookie?.slice(wanted.length) ?? null
}

/** Compares hashes, so that neither length nor content shows in the time it takes. */
function sameToken(given: string, token: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(given), hash(token))
}
