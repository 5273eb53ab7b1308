import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createChangeSignal } from '#adapters/libp2p/change-signal.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

describe('news of changes', () => {
  it('come at once, then at most once in every interval, and the last one is not lost', () => {
    const signal = createChangeSignal(250)
    const listener = vi.fn()
    signal.listen(listener)
    for (let count = 0; count < 100; count += 1) {
      signal.changed()
      vi.advanceTimersByTime(10)
    }
    expect(listener.mock.calls.length).toBe(5)
    signal.changed()
    expect(listener.mock.calls.length).toBe(5)
    vi.advanceTimersByTime(250)
    expect(listener.mock.calls.length).toBe(6)
    vi.advanceTimersByTime(10_000)
    expect(listener.mock.calls.length).toBe(6)
  })

  it('no longer reach who stopped listening', () => {
    const signal = createChangeSignal(250)
    const listener = vi.fn()
    signal.listen(listener)()
    signal.changed()
    expect(listener).not.toHaveBeenCalled()
  })
})
