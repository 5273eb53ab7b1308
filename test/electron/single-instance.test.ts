import { existsSync, mkdtempSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { InvalidInputError } from '#contracts/errors.ts'
import { claimProfile, createShellDirectory, profileFrom } from '#electron/single-instance.ts'
import { FakeElectron } from '#test/fakes/electron.ts'

describe('--profile', () => {
  it.each([
    [['electron', '.'], 'default'],
    [['electron', '.', '--profile', 'alice'], 'alice'],
    [['Quiltbee', '--profile=bob', '--enable-logging'], 'bob'],
    [['Quiltbee', '--profile-directory=x', '--lang=de'], 'default'],
  ])('of %j is %s', (argv, profile) => expect(profileFrom(argv)).toBe(profile))

  it('needs a name', () => {
    expect(() => profileFrom(['Quiltbee', '--profile'])).toThrow(InvalidInputError)
  })

  it.each(['', '..', '../other', 'Alice', 'a/b', 'a\\b', '-a', 'a'.repeat(33), 'a b', 'nul\0'])(
    'refuses the name %j, and makes no folder for it',
    (profile) => {
      const home = join(mkdtempSync(join(tmpdir(), 'quiltbee-home-')), 'home')
      expect(() => createShellDirectory(profile, { QUILTBEE_HOME: home })).toThrow(InvalidInputError)
      expect(existsSync(home)).toBe(false)
    },
  )

  it("gives each profile a folder of its own, within the profile's, for its owner alone", () => {
    const home = mkdtempSync(join(tmpdir(), 'quiltbee-home-'))
    const [alice, bob] = ['alice', 'bob'].map((profile) => createShellDirectory(profile, { QUILTBEE_HOME: home }))
    expect([alice, bob]).toEqual([join(home, 'profiles/alice/shell'), join(home, 'profiles/bob/shell')])
    if (process.platform !== 'win32') expect(statSync(alice ?? '').mode & 0o077).toBe(0)
  })
})

describe('claimProfile', () => {
  it('locks within the folder of the profile', () => {
    const { app } = new FakeElectron()
    let focused = 0
    expect(claimProfile(app, '/home/profiles/alice/shell', () => focused++)).toBe(true)
    expect(app.paths).toEqual({ userData: '/home/profiles/alice/shell' })
    app.emit('second-instance')
    expect(focused).toBe(1)
  })

  it('says no when another shell holds the lock', () => {
    const { app } = new FakeElectron()
    app.lockIsTaken = true
    expect(claimProfile(app, '/x', () => undefined)).toBe(false)
    expect(app.eventNames()).toEqual([])
  })
})
