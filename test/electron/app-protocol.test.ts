import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAppHandler, parseAppPath, registerAppScheme, serveApp } from '#electron/app-protocol.ts'
import { FakeElectron } from '#test/fakes/electron.ts'

const secret = 'a key of the owner'
let parent: string
let root: string

beforeAll(() => {
  parent = mkdtempSync(join(tmpdir(), 'quiltbee-protocol-'))
  root = join(parent, 'renderer')
  for (const directory of ['renderer/assets', 'renderer/folder.js', 'renderer-2']) {
    mkdirSync(join(parent, directory), { recursive: true })
  }
  writeFileSync(join(root, 'index.html'), '<!doctype html>page')
  writeFileSync(join(root, 'assets/index-AbC_1.js'), 'export {}')
  writeFileSync(join(root, 'assets/module.wasm'), 'x')
  for (const path of ['secret.html', 'secret.js', 'renderer-2/secret.html']) writeFileSync(join(parent, path), secret)
  symlinkSync(join(parent, 'secret.html'), join(root, 'link.html'))
  symlinkSync(join(parent, 'renderer-2'), join(root, 'linked'))
  symlinkSync(join(root, 'index.html'), join(root, 'inside.html'))
  symlinkSync(join(root, 'loop.html'), join(root, 'loop.html'))
})
afterAll(() => rmSync(parent, { recursive: true, force: true }))

async function ask(url: string, method = 'GET') {
  const response = await createAppHandler(root)({ url, method })
  return { status: response.status, body: await response.text(), headers: response.headers }
}

describe('the app:// protocol', () => {
  it('is a secure standard scheme with fetch, and neither passes the policy nor installs service workers', () => {
    const electron = new FakeElectron()
    registerAppScheme(electron.protocol)
    const privileges = { standard: true, secure: true, supportFetchAPI: true }
    expect(electron.schemes).toEqual([{ scheme: 'app', privileges }])
  })

  it('is served by the handler for this scheme alone', () => {
    const electron = new FakeElectron()
    serveApp(electron.protocol, root)
    expect(Object.keys(electron.handlers)).toEqual(['app'])
  })

  it.each([
    ['app://quiltbee/', 'text/html; charset=utf-8', '<!doctype html>page'],
    ['app://quiltbee/#/ledger', 'text/html; charset=utf-8', '<!doctype html>page'],
    ['app://quiltbee/index.html?x=1', 'text/html; charset=utf-8', '<!doctype html>page'],
    ['app://quiltbee/assets/index-AbC_1.js', 'text/javascript; charset=utf-8', 'export {}'],
    ['app://quiltbee/inside.html', 'text/html; charset=utf-8', '<!doctype html>page'],
  ])('serves %s', async (url, type, body) => {
    const answer = await ask(url)
    expect(answer).toMatchObject({ status: 200, body })
    expect(answer.headers.get('content-type')).toBe(type)
  })

  it.each([
    ['a folder above', 'app://quiltbee/../secret.html', 404],
    ['a folder above, further down', 'app://quiltbee/assets/../../secret.html', 404],
    ['dots as %2e', 'app://quiltbee/%2e%2e/secret.html', 404],
    ['dots as %252e', 'app://quiltbee/%252e%252e/secret.html', 403],
    ['a slash as %2f', 'app://quiltbee/..%2fsecret.html', 403],
    ['a backslash', 'app://quiltbee/..\\secret.html', 403],
    ['a backslash as %5c', 'app://quiltbee/..%5csecret.html', 403],
    ['NUL', 'app://quiltbee/index.html%00.png', 403],
    ['a UNC path', 'app://quiltbee//server/share/secret.html', 403],
    ['an absolute path', 'app://quiltbee//etc/passwd', 403],
    ['a drive', 'app://quiltbee/C:/secret.html', 403],
    ['an alternate stream', 'app://quiltbee/index.html::$DATA', 403],
    ['a hidden file', 'app://quiltbee/.env', 403],
    ['a link out of the folder', 'app://quiltbee/link.html', 403],
    ['a linked folder beside it', 'app://quiltbee/linked/secret.html', 403],
    ['the sibling with the same beginning', 'app://quiltbee/../renderer-2/secret.html', 404],
    ['a link to itself', 'app://quiltbee/loop.html', 404],
    ['a folder', 'app://quiltbee/folder.js', 404],
    ['a folder with a slash', 'app://quiltbee/assets/', 403],
    ['a type we do not ship', 'app://quiltbee/assets/module.wasm', 404],
    ['nothing', 'app://quiltbee/absent.html', 404],
    ['another host', 'app://evil/index.html', 403],
    ['a host that begins like ours', 'app://quiltbee.evil/index.html', 403],
    ['our name as a user', 'app://quiltbee@evil/index.html', 403],
    ['a user at our host', 'app://evil@quiltbee/index.html', 403],
    ['another scheme', 'file:///etc/passwd', 403],
    ['no address at all', 'quiltbee', 403],
  ])('refuses %s', async (_what, url, status) => {
    const answer = await ask(url)
    expect(answer).toMatchObject({ status, body: '' })
  })

  it('only reads', async () => {
    expect(await ask('app://quiltbee/', 'POST')).toMatchObject({ status: 405, body: '' })
    expect(await ask('app://quiltbee/', 'HEAD')).toMatchObject({ status: 200, body: '' })
  })

  it('never gives out a file beside its folder, whatever is asked', async () => {
    const piece = fc.constantFrom(
      '..',
      '.',
      '%2e',
      '%2e%2e',
      '%252e%252e',
      '/',
      '\\',
      '%5c',
      '%2f',
      '%00',
      ':',
      '~',
      'C:',
    )
    const name = fc.constantFrom(
      'secret.html',
      'secret.js',
      'renderer-2',
      'link.html',
      'linked',
      'renderer',
      'index.html',
    )
    const path = fc.array(fc.oneof(piece, name, fc.string({ maxLength: 4 })), { maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(path, fc.constantFrom('', '/'), async (pieces, joint) => {
        const { status, body } = await ask(`app://quiltbee/${pieces.join(joint)}`)
        expect([200, 403, 404]).toContain(status)
        expect(body).not.toContain(secret)
      }),
      { numRuns: 300 },
    )
  })

  it('takes any text for an address without throwing', () => {
    fc.assert(fc.property(fc.string(), (url) => ['path', 'refused'].includes(parseAppPath(url).kind)))
  })
})

describe('every answer of app://', () => {
  it.each(['app://quiltbee/', 'app://quiltbee/absent.html', 'app://quiltbee/link.html', 'app://evil/'])(
    'carries the policy: %s',
    async (url) => {
      const { headers } = await ask(url)
      expect(headers.get('content-security-policy')).toBe(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
          "connect-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; " +
          "require-trusted-types-for 'script'; trusted-types svelte-trusted-html",
      )
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('referrer-policy')).toBe('no-referrer')
      expect(headers.get('cross-origin-opener-policy')).toBe('same-origin')
    },
  )
})
