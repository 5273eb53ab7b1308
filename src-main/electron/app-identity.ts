/** Where the UI lives: the shell's one origin. Whatever else asks for something is not ours. */
export const appScheme = 'app'
export const appHost = 'quiltbee'
export const appOrigin = `${appScheme}://${appHost}`
export const appUrl = `${appOrigin}/`

/** True for a page of ours. Parsed, never compared by prefix: `app://quiltbee.evil/` and `app://quiltbee@evil/` are not. */
export function isAppUrl(url: string): boolean {
  const parsed = URL.parse(url)
  if (parsed === null) return false
  const { protocol, host, username, password } = parsed
  return protocol === `${appScheme}:` && host === appHost && username === '' && password === ''
}
