import { describe, expect, it } from 'vitest'
import { guardContents, guardNavigation, guardSession, mayOpenOutside } from '#electron/navigation-guards.ts'
import { FakeContents, FakeElectron, FakeEvent, FakeSession } from '#test/fakes/electron.ts'

const foreign = [
  'https://example.org/',
  'http://quiltbee/',
  'https://quiltbee/',
  'app://evil/',
  'app://quiltbee.evil/',
  'app://quiltbee@evil/',
  'app://user@quiltbee/',
  'javascript:alert(1)',
  'data:text/html,<script>alert(1)</script>',
  'file:///etc/passwd',
  'smb://server/share',
  'blob:app://quiltbee/6e0d',
  'about:blank',
  'not an address',
]

function guarded() {
  const electron = new FakeElectron()
  const contents = new FakeContents(1)
  guardContents(contents, electron.shell)
  return { electron, contents }
}

describe('a guarded page', () => {
  it.each(foreign)('does not navigate to %s, neither itself nor in a frame', (url) => {
    const { contents } = guarded()
    expect(contents.prevents('will-navigate', url)).toBe(true)
    expect(contents.prevents('will-frame-navigate', url)).toBe(true)
    expect(contents.prevents('will-frame-navigate', url, false)).toBe(true)
  })

  it('may be reloaded, but never puts even itself into a frame', () => {
    const { contents } = guarded()
    expect(contents.prevents('will-navigate', 'app://quiltbee/')).toBe(false)
    expect(contents.prevents('will-frame-navigate', 'app://quiltbee/')).toBe(false)
    expect(contents.prevents('will-frame-navigate', 'app://quiltbee/', false)).toBe(true)
  })

  it('follows no redirect and attaches no webview', () => {
    const { contents } = guarded()
    expect(contents.prevents('will-redirect', 'app://quiltbee/')).toBe(true)
    const event = new FakeEvent()
    contents.emit('will-attach-webview', event)
    expect(event.prevented).toBe(true)
  })

  it('opens no window, but hands a link to a known host to the browser', () => {
    const { electron, contents } = guarded()
    const details = {
      frameName: '',
      features: '',
      disposition: 'foreground-tab',
      referrer: { url: '', policy: 'default' },
    }
    const open = (url: string) => contents.openHandler?.({ ...details, url } as never)
    for (const url of [...foreign, 'https://huggingface.co/models']) expect(open(url)).toEqual({ action: 'deny' })
    expect(electron.opened).toEqual(['https://huggingface.co/models'])
  })
})

describe('a guarded session', () => {
  it('grants no permission, of any kind, to anyone', () => {
    const session = new FakeSession()
    guardSession(session)
    const answers: boolean[] = []
    for (const permission of ['media', 'notifications', 'openExternal', 'clipboard-read', 'usb'] as const) {
      session.request?.({} as never, permission, (granted) => answers.push(granted), {} as never)
      answers.push(session.check?.(null, permission, 'app://quiltbee', {} as never) ?? true)
    }
    answers.push(session.device?.({} as never) ?? true)
    expect(answers).toEqual(Array(11).fill(false))
  })
})

describe('guardNavigation', () => {
  it('guards every page and session made from then on', () => {
    const electron = new FakeElectron()
    guardNavigation(electron)
    const contents = new FakeContents(7)
    const session = new FakeSession()
    electron.app.emit('web-contents-created', new FakeEvent(), contents)
    electron.app.emit('session-created', session)
    expect(contents.prevents('will-navigate', 'https://example.org/')).toBe(true)
    expect(contents.openHandler).toBeDefined()
    expect(session.check?.(null, 'media', '', {} as never)).toBe(false)
  })
})

describe('mayOpenOutside', () => {
  it.each(['https://good.org', 'https://good.org/a?b#c', 'https://GOOD.org/', 'https://good.org:443/'])(
    'takes %s',
    (url) => expect(mayOpenOutside(url, ['good.org'])).toBe(true),
  )

  it.each([
    'http://good.org/',
    'https://good.org@evil/',
    'https://good.org:pass@evil/',
    'https://user@good.org/',
    'https://good.org:8443/',
    'https://good.org.evil/',
    'https://evilgood.org/',
    'https://sub.good.org/',
    'https://good.org./',
    'https:/\\evil/good.org',
    'https://evil\\@good.org',
    'https://evil/?good.org',
    'https://gооd.org/',
    'javascript:location="https://good.org"',
    'data:text/html,good.org',
    'file://good.org/x',
    'smb://good.org/share',
    'ms-settings:good.org',
    'good.org',
    '',
    `https://good.org/${'a'.repeat(3000)}`,
  ])('refuses %s', (url) => expect(mayOpenOutside(url, ['good.org'])).toBe(false))
})
