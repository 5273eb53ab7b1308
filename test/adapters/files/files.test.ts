import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { loadOrCreateAccessToken, readAccessToken } from '#adapters/files/access-token.ts'
import { atomicWrite } from '#adapters/files/atomic-write.ts'
import { createDataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { openLogFile } from '#adapters/files/log-file.ts'
import { readRunningNode, removeRunningNode, writeRunningNode } from '#adapters/files/running-node.ts'
import { createSettingsStore } from '#adapters/files/settings-store.ts'
import { defaultPolicy } from '#core/budget/default-policy.ts'

const folder = mkdtempSync(join(tmpdir(), 'quiltbee-files-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let count = 0
const fresh = (name: string) => {
  const path = join(folder, String(count++))
  mkdirSync(path)
  return join(path, name)
}

describe('the data directory', () => {
  test('lies under QUILTBEE_HOME, a folder a profile', () => {
    const directory = dataDirectory({ profile: 'alice', environment: { QUILTBEE_HOME: folder } })
    expect(directory).toMatchObject({ home: folder, profileDirectory: join(folder, 'profiles/alice') })
    createDataDirectory(directory)
    expect(statSync(directory.profileDirectory).mode & 0o777).toBe(0o700)
  })

  test('lies in the platform’s folder otherwise', () => {
    expect(dataDirectory({ environment: {} }).home).toMatch(/quiltbee/i)
  })

  test('never leaves its folder, whatever the profile is called', () => {
    fc.assert(
      fc.property(fc.string(), (profile) => {
        try {
          const { profileDirectory } = dataDirectory({ profile, environment: { QUILTBEE_HOME: folder } })
          expect(profileDirectory).toBe(join(folder, 'profiles', profile))
          expect(profile).toMatch(/^[a-z0-9-]+$/)
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid-input' })
        }
      }),
    )
    expect(() => dataDirectory({ profile: '../x', environment: {} })).toThrow('profile')
  })
})

describe('an atomic write', () => {
  test('replaces the file, for its owner alone, and leaves nothing else', async () => {
    const file = fresh('a')
    await atomicWrite(file, 'one')
    await atomicWrite(file, 'two')
    expect(readFileSync(file, 'utf8')).toBe('two')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readdirSync(join(file, '..'))).toEqual(['a'])
  })

  test('that fails keeps the old file and says which', async () => {
    const file = join(fresh('missing'), 'a')
    await expect(atomicWrite(file, 'x')).rejects.toMatchObject({ code: 'storage-failed', params: { why: 'ENOENT' } })
  })
})

describe('settings', () => {
  test('begin with the default policy and a printable name, and are read back as written', async () => {
    const store = createSettingsStore({ file: fresh('settings.json'), defaultPolicy })
    const settings = await store.read()
    expect(settings).toMatchObject({ policy: defaultPolicy, pausedUntil: null })
    expect(settings.nodeName).toMatch(/^[A-Za-z0-9.-]{1,64}$/)
    await store.write({ ...settings, pausedUntil: 'owner' })
    expect(await store.read()).toEqual({ ...settings, pausedUntil: 'owner' })
  })

  test.each([
    ['not JSON', '{', 'not valid JSON'],
    ['an unknown key', '{"formatVersion":1,"nodeName":"x","policy":null,"pausedUntil":null,"x":1}', 'policy'],
    ['another version', '{"formatVersion":2}', 'formatVersion'],
    ['too much', ' '.repeat((1 << 20) + 1), 'larger than'],
  ])('that are %s are refused by file and field, and left alone', async (_, text, complaint) => {
    const file = fresh('settings.json')
    writeFileSync(file, text)
    const store = createSettingsStore({ file, defaultPolicy })
    await expect(store.read()).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringContaining(complaint),
    })
    expect(readFileSync(file, 'utf8')).toBe(text)
  })
})

describe('the log', () => {
  test('is written line by line, for its owner alone', () => {
    const file = fresh('node.log')
    const log = openLogFile(file, 'info')
    log.debug({}, 'not shown')
    log.info({ blocks: 3 }, 'hosting')
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ blocks: 3, msg: 'hosting' })
    log.close()
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  test.skipIf(!existsSync('/dev/full'))('loses its lines on a full disk, and nothing else', async () => {
    const log = openLogFile('/dev/full', 'info')
    expect(() => log.error({ error: new Error('x') }, 'lost')).not.toThrow()
    await new Promise((turned) => setImmediate(turned))
    expect(() => log.info({}, 'lost too')).not.toThrow()
    expect(() => log.close()).not.toThrow()
  })
})

describe('the access token', () => {
  test('is made once, kept, and for its owner alone', async () => {
    const file = fresh('access-token')
    const token = await loadOrCreateAccessToken(file)
    expect(token).toMatch(/^[0-9a-f]{64}$/)
    expect(await loadOrCreateAccessToken(file)).toBe(token)
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  test('that is something else is refused, not replaced', async () => {
    const file = fresh('access-token')
    writeFileSync(file, 'password1')
    await expect(readAccessToken(file)).rejects.toMatchObject({ code: 'invalid-input' })
    await expect(loadOrCreateAccessToken(file)).rejects.toMatchObject({ code: 'invalid-input' })
  })
})

describe('the note of a running node', () => {
  test('is there while it runs', async () => {
    const file = fresh('running-node.json')
    expect(await readRunningNode(file)).toBeNull()
    await writeRunningNode(file, { processId: 1, uiPort: 4747 })
    expect(await readRunningNode(file)).toEqual({ processId: 1, uiPort: 4747 })
    await removeRunningNode(file)
    expect(await readRunningNode(file)).toBeNull()
  })
})
