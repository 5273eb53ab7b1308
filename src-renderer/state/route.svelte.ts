/** Which screen is shown: the part of the address after `#`, so that Back, bookmarks and both shells work alike. */
import { createSubscriber } from 'svelte/reactivity'

export const screens = ['dashboard', 'chat', 'ledger'] as const
export type Screen = (typeof screens)[number]

export function screenOf(hash: string): Screen {
  const name = hash.replace(/^#\/?/, '')
  return screens.find((screen) => screen === name) ?? 'dashboard'
}

export type Route = { readonly screen: Screen; go(screen: Screen): void }

export function createRoute(): Route {
  const subscribe = createSubscriber((update) => {
    window.addEventListener('hashchange', update)
    return () => window.removeEventListener('hashchange', update)
  })
  return {
    get screen() {
      subscribe()
      return screenOf(location.hash)
    },
    go(screen) {
      location.hash = `#/${screen}`
    },
  }
}
