import { describe, expect, test } from 'vitest'
import { workEvents } from '#app/work-events.ts'

describe('work that tells how far it is', () => {
  test('is heard in order, also what it tells at once and at its very end', async () => {
    const heard: number[] = []
    const events = workEvents<number>(async (tell) => {
      tell(1)
      tell(2)
      await Promise.resolve()
      tell(3)
    })
    for await (const event of events) heard.push(event)
    expect(heard).toEqual([1, 2, 3])
  })

  test('fails as it fails, after what it told', async () => {
    const heard: string[] = []
    const listening = (async () => {
      const events = workEvents<string>(async (tell) => {
        tell('so far')
        throw new RangeError('no further')
      })
      for await (const event of events) heard.push(event)
    })()
    await expect(listening).rejects.toThrow('no further')
    expect(heard).toEqual(['so far'])
  })

  test('is stopped when its reader leaves, and when the signal fires', async () => {
    const untilStopped =
      (stopped: () => void) =>
      async (tell: (event: string) => void, signal: AbortSignal): Promise<void> => {
        tell('begun')
        await new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
        }).finally(stopped)
      }
    const left = Promise.withResolvers<void>()
    for await (const event of workEvents(untilStopped(left.resolve))) if (event === 'begun') break
    await left.promise

    const controller = new AbortController()
    const events = workEvents(
      untilStopped(() => {}),
      controller.signal,
    )
    await events.next()
    controller.abort(new Error('enough'))
    await expect(events.next()).rejects.toThrow('enough')
  })
})
