/**
 * The page stays where it is: it cannot navigate away, open windows, embed a webview, or be granted a permission. Links out
 * go to the owner's browser, and only to the few hosts that the product's own texts point to.
 */
import { isAppUrl } from './app-identity.ts'
import type { AppPart, ContentsPart, SessionPart, ShellPart } from './electron-parts.ts'

/** Where the product's own texts link to: a model's page. */
export const externalHosts: readonly string[] = ['huggingface.co', 'github.com']

const maximumUrlLength = 2048

/** Guards every web contents and every session there is or will be. Call before the first window is made. */
export function guardNavigation(components: { app: AppPart; shell: ShellPart }): void {
  components.app.on('web-contents-created', (_event, contents) => guardContents(contents, components.shell))
  components.app.on('session-created', guardSession)
}

export function guardSession(session: SessionPart): void {
  session.setPermissionRequestHandler((_contents, _permission, callback) => callback(false))
  session.setPermissionCheckHandler(() => false)
  session.setDevicePermissionHandler(() => false)
}

export function guardContents(contents: ContentsPart, shell: ShellPart): void {
  contents.on('will-navigate', (details) => {
    if (!isAppUrl(details.url)) details.preventDefault()
  })
  contents.on('will-frame-navigate', (details) => {
    if (!details.isMainFrame || !isAppUrl(details.url)) details.preventDefault()
  })
  contents.on('will-redirect', (details) => details.preventDefault())
  contents.on('will-attach-webview', (event) => event.preventDefault())
  contents.setWindowOpenHandler(({ url }) => {
    if (mayOpenOutside(url)) shell.openExternal(new URL(url).href).catch(() => undefined)
    return { action: 'deny' }
  })
}

/** https, a host we know by its whole name, the usual port, and nobody's name or password in front of it. */
export function mayOpenOutside(url: string, hosts: readonly string[] = externalHosts): boolean {
  const parsed = url.length > maximumUrlLength ? null : URL.parse(url)
  if (parsed === null) return false
  const { protocol, hostname, port, username, password } = parsed
  return protocol === 'https:' && hosts.includes(hostname) && port === '' && username === '' && password === ''
}
