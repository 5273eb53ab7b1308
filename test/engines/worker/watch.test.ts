import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { watchWorker } from '#engines/worker/watch.ts'

const limits = { intervalMs: 1_000, idleLooks: 3, busyLooks: 30 }

describe('the watch over a worker', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  function begin(isBusy: () => boolean, answers: () => boolean) {
    const hung: number[] = []
    let pings = 0
    const watch = watchWorker(
      {
        isBusy,
        ping() {
          pings++
          if (answers()) setTimeout(() => watch.heard(), 100)
        },
        onHung(silentMs) {
          hung.push(silentMs)
          watch.stop()
        },
      },
      limits,
    )
    return { hung, pings: () => pings }
  }

  it('lets one be that answers', () => {
    const { hung, pings } = begin(
      () => false,
      () => true,
    )
    vi.advanceTimersByTime(100_000)
    expect(hung).toEqual([])
    expect(pings()).toBe(100)
  })

  it('finds one that is silent with nothing to do after a few looks, and pings it once only', () => {
    const { hung, pings } = begin(
      () => false,
      () => false,
    )
    vi.advanceTimersByTime(100_000)
    expect(hung).toEqual([3_000])
    expect(pings()).toBe(1)
  })

  it('hears nothing bad in the silence of one that is held still, and counts anew afterwards', () => {
    const hung: number[] = []
    const watch = watchWorker({ isBusy: () => false, ping() {}, onHung: (silentMs) => hung.push(silentMs) }, limits)
    vi.advanceTimersByTime(3_000)
    watch.rest()
    vi.advanceTimersByTime(3_600_000)
    expect(hung).toEqual([])
    watch.goOn()
    vi.advanceTimersByTime(2_000)
    expect(hung).toEqual([])
    vi.advanceTimersByTime(1_000)
    expect(hung).toEqual([3_000])
    watch.stop()
  })

  it('waits much longer for one that has been asked for something', () => {
    const { hung } = begin(
      () => true,
      () => false,
    )
    vi.advanceTimersByTime(30_000)
    expect(hung).toEqual([])
    vi.advanceTimersByTime(2_000)
    expect(hung).toEqual([30_000])
  })
})
