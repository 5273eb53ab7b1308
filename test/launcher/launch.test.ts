import { describe, expect, test, vi } from 'vitest'
import { chooseShell, findElectronBinary, hasDisplay } from '#launcher/launch.ts'

const machine = { forcedHeadless: false, hasDisplay: true, findBinary: () => '/electron', fetchBinary: () => true }

describe('npm start', () => {
  test('opens the window where there is a display and a binary', () => {
    expect(chooseShell(machine)).toEqual({ shell: 'electron', binary: '/electron' })
  })

  test('fetches a missing binary once and uses it', () => {
    let fetched = false
    const choice = chooseShell({
      ...machine,
      findBinary: () => (fetched ? '/fetched' : null),
      fetchBinary: () => {
        fetched = true
        return true
      },
    })
    expect(choice).toEqual({ shell: 'electron', binary: '/fetched' })
  })

  test('runs headless, and says why, when the binary cannot be had', () => {
    const choice = chooseShell({ ...machine, findBinary: () => null, fetchBinary: () => false })
    expect(choice).toEqual({ shell: 'headless', because: 'the Electron binary is not here and could not be fetched' })
  })

  test('fetches nothing without a display, or when a window is not wanted', () => {
    const fetchBinary = vi.fn(() => true)
    expect(chooseShell({ ...machine, hasDisplay: false, fetchBinary }).shell).toBe('headless')
    expect(chooseShell({ ...machine, forcedHeadless: true, fetchBinary }).shell).toBe('headless')
    expect(fetchBinary).not.toHaveBeenCalled()
  })

  test('knows a display by its platform and environment', () => {
    expect(hasDisplay('linux', {})).toBe(false)
    expect(hasDisplay('linux', { DISPLAY: ':0' })).toBe(true)
    expect(hasDisplay('linux', { WAYLAND_DISPLAY: 'wayland-0' })).toBe(true)
    expect(hasDisplay('win32', {})).toBe(true)
  })

  test('looks for the binary where it is told to, without downloading', () => {
    expect(findElectronBinary({ ELECTRON_OVERRIDE_DIST_PATH: '/nowhere' })).toBeNull()
  })
})
