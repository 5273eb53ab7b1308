/**
 * `app://quiltbee/`: the built UI as an origin of its own, instead of `file://` with its reach over the whole disk. Answers
 * only with files that are inside of the renderer's folder after all links are followed, and puts the content security
 * policy on every answer.
 */
import { readFile, realpath } from 'node:fs/promises'
import { extname, join, sep } from 'node:path'
import { contentSecurityPolicy } from '#app/content-security-policy.ts'
import { appScheme, isAppUrl } from './app-identity.ts'
import type { ProtocolPart, SchemesPart } from './electron-parts.ts'

/** A standard, secure origin with fetch; not one that passes the policy or installs service workers. Before `ready` only. */
export function registerAppScheme(protocol: SchemesPart): void {
  const privileges = { standard: true, secure: true, supportFetchAPI: true }
  protocol.registerSchemesAsPrivileged([{ scheme: appScheme, privileges }])
}

export function serveApp(protocol: ProtocolPart, rendererDirectory: string): void {
  protocol.handle(appScheme, createAppHandler(rendererDirectory))
}

export type AppHandler = (request: Pick<Request, 'method' | 'url'>) => Promise<Response>

export function createAppHandler(rendererDirectory: string): AppHandler {
  return async (request) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return refusal(405)
    const wanted = parseAppPath(request.url)
    if (wanted.kind === 'refused') return refusal(403)
    const file = await findInside(rendererDirectory, wanted.segments)
    if (file.kind === 'absent') return refusal(404)
    if (file.kind === 'outside') return refusal(403)
    const bytes = await readFile(file.path).catch(() => null)
    if (bytes === null) return refusal(404)
    return new Response(request.method === 'HEAD' ? null : bytes, { headers: headersFor(file.path) })
  }
}

type AppPath = { readonly kind: 'path'; readonly segments: readonly string[] } | { readonly kind: 'refused' }

/** The only characters our build puts in file names; leaves no room for `%2e`, `\`, `:`, NUL or a second decoding. */
const segmentPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/

/** Judges the address as text, before any file is touched. `/` is the page itself. */
export function parseAppPath(url: string): AppPath {
  if (!isAppUrl(url)) return { kind: 'refused' }
  const path = new URL(url).pathname.slice(1)
  if (path === '') return { kind: 'path', segments: ['index.html'] }
  const segments = path.split('/')
  return segments.every((segment) => segmentPattern.test(segment)) ? { kind: 'path', segments } : { kind: 'refused' }
}

type Found =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'outside' }

/** Follows links on both sides, so that neither a link in the folder nor a folder beside it (`renderer-2`) is let out. */
async function findInside(directory: string, segments: readonly string[]): Promise<Found> {
  try {
    const root = await realpath(directory)
    const path = await realpath(join(root, ...segments))
    if (!path.startsWith(root + sep)) return { kind: 'outside' }
    return extname(path) in contentTypes ? { kind: 'file', path } : { kind: 'absent' }
  } catch {
    return { kind: 'absent' }
  }
}

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
}

const commonHeaders = {
  'content-security-policy': contentSecurityPolicy(),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-cache',
} as const

function headersFor(path: string): Record<string, string> {
  return { ...commonHeaders, 'content-type': contentTypes[extname(path)] ?? 'application/octet-stream' }
}

function refusal(status: 403 | 404 | 405): Response {
  return new Response(null, { status, headers: commonHeaders })
}
