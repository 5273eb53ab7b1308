import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createBroadcast } from '#app/broadcast.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

/** Counts what a listener hears; `settle` lets it catch up. */
function listen(broadcast: ReturnType<typeof createBroadcast>, signal?: AbortSignal) {
  const heard = { count: 0, ended: false }
  void (async () => {
    for await (const _ of broadcast.changes(signal)) heard.count += 1
    heard.ended = true
  })()
  return heard
}
const settle = () => vi.advanceTimersByTimeAsync(0)

describe('a broadcast', () => {
  test('tells everybody once at the beginning and then once a burst', async () => {
    const broadcast = createBroadcast({ intervalMs: 250 })
    const [a, b] = [listen(broadcast), listen(broadcast)]
    await settle()
    expect([a.count, b.count]).toEqual([1, 1])
    for (let index = 0; index < 50; index++) broadcast.changed()
    await vi.advanceTimersByTimeAsync(249)
    expect(a.count).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    expect([a.count, b.count]).toEqual([2, 2])
  })

  test('keeps no timer while nothing changes', async () => {
    const broadcast = createBroadcast({ intervalMs: 250 })
    listen(broadcast)
    await settle()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('ends for one who stops listening, and for all when it stops', async () => {
    const broadcast = createBroadcast({ intervalMs: 250 })
    const stop = new AbortController()
    const [leaving, staying] = [listen(broadcast, stop.signal), listen(broadcast)]
    await settle()
    stop.abort()
    await settle()
    expect([leaving.ended, staying.ended]).toEqual([true, false])
    broadcast.changed()
    broadcast.stop()
    await settle()
    expect(staying.ended).toBe(true)
    expect(vi.getTimerCount()).toBe(0)
  })
})
