/** The present, as views read it: moves on only while a view shows it and the page is visible. */
import { createSubscriber } from 'svelte/reactivity'

export type Ticker = { readonly nowMs: number }

export function createTicker(intervalMs: number): Ticker {
  const subscribe = createSubscriber((update) => {
    let timer: ReturnType<typeof setInterval> | undefined
    const follow = (): void => {
      clearInterval(timer)
      timer = undefined
      if (document.visibilityState === 'hidden') return
      timer = setInterval(update, intervalMs)
    }
    const wake = (): void => {
      follow()
      update()
    }
    follow()
    document.addEventListener('visibilitychange', wake)
    return () => {
      clearInterval(timer)
      document.removeEventListener('visibilitychange', wake)
    }
  })
  return {
    get nowMs() {
      subscribe()
      return Date.now()
    },
  }
}
