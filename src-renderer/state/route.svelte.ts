/**
 * Which screen is shown, and what of it: the part of the address after `#`, so that Back, bookmarks and both shells work
 * alike. `#/train/new` is the wizard, `#/train/<run>` a run, `#/patches/<digest>` a patch.
 */
import { createSubscriber } from 'svelte/reactivity'

export const screens = ['dashboard', 'chat', 'train', 'patches', 'ledger'] as const
export type Screen = (typeof screens)[number]

export type Address = { readonly screen: Screen; readonly rest: readonly string[] }

/** An address that names no screen is the dashboard's. */
export function addressOf(hash: string): Address {
  const [name, ...rest] = hash.replace(/^#\/?/, '').split('/')
  const screen = screens.find((one) => one === name)
  return screen === undefined ? { screen: 'dashboard', rest: [] } : { screen, rest: rest.filter((part) => part !== '') }
}

export function hrefOf(screen: Screen, ...rest: readonly string[]): string {
  return `#/${[screen, ...rest].join('/')}`
}

export type Route = {
  readonly screen: Screen
  /** What of the screen: `new`, a run, a digest. Empty: the screen itself. */
  readonly rest: readonly string[]
  readonly href: string
  go(screen: Screen, ...rest: readonly string[]): void
}

export function createRoute(): Route {
  const subscribe = createSubscriber((update) => {
    window.addEventListener('hashchange', update)
    return () => window.removeEventListener('hashchange', update)
  })
  function address(): Address {
    subscribe()
    return addressOf(location.hash)
  }
  return {
    get screen() {
      return address().screen
    },
    get rest() {
      return address().rest
    },
    get href() {
      const { screen, rest } = address()
      return hrefOf(screen, ...rest)
    },
    go(screen, ...rest) {
      location.hash = hrefOf(screen, ...rest)
    },
  }
}
