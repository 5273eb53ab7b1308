/** The keyboard: which keys mean what. Pure, so that the list people read and the keys that work are one. */
import { type Screen, screens } from './route.svelte.ts'

export type ShortcutAction = { readonly kind: 'go'; readonly screen: Screen } | { readonly kind: 'pause' | 'help' }

export type Keys = {
  readonly key: string
  readonly code: string
  readonly ctrlKey: boolean
  readonly metaKey: boolean
  readonly altKey: boolean
  readonly shiftKey: boolean
}

/**
 * In a browser Ctrl+1 belongs to its tabs, so there screens are on Alt; the desktop shell has no tabs, and both work.
 * `typing` is true when the keys go into a field, where `?` is just a character.
 */
export function shortcutOf(keys: Keys, inShell: boolean, typing: boolean): ShortcutAction | null {
  const command = keys.ctrlKey || keys.metaKey
  const digit = /^Digit([1-9])$/.exec(keys.code)?.[1]
  const screen = digit === undefined ? undefined : screens[Number(digit) - 1]
  const modified = (keys.altKey && !command) || (inShell && command && !keys.altKey)
  if (screen !== undefined && modified && !keys.shiftKey) return { kind: 'go', screen }
  if (keys.code === 'KeyP' && keys.shiftKey && command !== keys.altKey) return { kind: 'pause' }
  if (keys.key === '?' && !command && !keys.altKey && !typing) return { kind: 'help' }
  return null
}

export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.matches('input, textarea, select') || target.isContentEditable)
}

export type ShortcutLine = { readonly keys: readonly (readonly string[])[]; readonly what: string }

/** The list behind `?`. */
export function shortcutLines(inShell: boolean, isMac: boolean): readonly ShortcutLine[] {
  const command = isMac ? '⌘' : 'Ctrl'
  const alt = isMac ? '⌥' : 'Alt'
  const go = (digit: string) =>
    inShell
      ? [
          [command, digit],
          [alt, digit],
        ]
      : [[alt, digit]]
  return [
    { keys: go('1'), what: 'Dashboard' },
    { keys: go('2'), what: 'Chat' },
    { keys: go('3'), what: 'Train' },
    { keys: go('4'), what: 'Patches' },
    { keys: go('5'), what: 'Ledger' },
    {
      keys: [
        [command, 'Shift', 'P'],
        [alt, 'Shift', 'P'],
      ],
      what: 'Pause or resume giving',
    },
    { keys: [[command, 'Enter']], what: 'Generate, in Chat' },
    { keys: [['Esc']], what: 'Stop generating, or close this list' },
    { keys: [['?']], what: 'This list' },
  ]
}
