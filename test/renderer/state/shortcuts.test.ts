import { describe, expect, test } from 'vitest'
import { addressOf, hrefOf } from '#renderer/state/route.svelte.ts'
import { type Keys, shortcutLines, shortcutOf } from '#renderer/state/shortcuts.ts'

const none: Keys = { key: '', code: '', ctrlKey: false, metaKey: false, altKey: false, shiftKey: false }

describe('shortcuts', () => {
  test('Alt and a digit opens a screen everywhere, Ctrl or ⌘ only where no browser tabs own it', () => {
    const chat = { kind: 'go', screen: 'chat' }
    expect(shortcutOf({ ...none, code: 'Digit2', altKey: true }, false, true)).toEqual(chat)
    expect(shortcutOf({ ...none, code: 'Digit2', ctrlKey: true }, true, true)).toEqual(chat)
    expect(shortcutOf({ ...none, code: 'Digit2', metaKey: true }, true, true)).toEqual(chat)
    expect(shortcutOf({ ...none, code: 'Digit2', ctrlKey: true }, false, false)).toBeNull()
    expect(shortcutOf({ ...none, code: 'Digit9', altKey: true }, false, false)).toBeNull()
  })

  test('Shift+P with Ctrl, ⌘ or Alt pauses and resumes', () => {
    expect(shortcutOf({ ...none, code: 'KeyP', shiftKey: true, ctrlKey: true }, false, true)).toEqual({ kind: 'pause' })
    expect(shortcutOf({ ...none, code: 'KeyP', shiftKey: true, altKey: true }, false, true)).toEqual({ kind: 'pause' })
    expect(shortcutOf({ ...none, code: 'KeyP', ctrlKey: true }, false, false)).toBeNull()
  })

  test('a question mark lists the shortcuts, unless it is typed into a field', () => {
    const mark = { ...none, key: '?', code: 'Slash', shiftKey: true }
    expect(shortcutOf(mark, false, false)).toEqual({ kind: 'help' })
    expect(shortcutOf(mark, false, true)).toBeNull()
  })

  test('the list names the keys of the platform', () => {
    expect(shortcutLines(true, true)[0]?.keys).toEqual([
      ['⌘', '1'],
      ['⌥', '1'],
    ])
    expect(shortcutLines(false, false)[0]?.keys).toEqual([['Alt', '1']])
  })
})

describe('routes', () => {
  test('an address that names no screen opens the dashboard', () => {
    const hashes = ['#/ledger', '#chat', '', '#/../etc', '#main']
    expect(hashes.map((hash) => addressOf(hash).screen)).toEqual([
      'ledger',
      'chat',
      'dashboard',
      'dashboard',
      'dashboard',
    ])
  })

  test('an address says what of the screen is shown, and is made the same way', () => {
    expect(addressOf('#/patches/abc/def')).toEqual({ screen: 'patches', rest: ['abc', 'def'] })
    expect(addressOf('#/train/')).toEqual({ screen: 'train', rest: [] })
    expect(hrefOf('train', 'new')).toBe('#/train/new')
    expect(addressOf(hrefOf('train', 'new'))).toEqual({ screen: 'train', rest: ['new'] })
  })
})
