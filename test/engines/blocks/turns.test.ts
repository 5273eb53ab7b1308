import { describe, expect, test } from 'vitest'
import { createTurns } from '#engines/blocks/turns.ts'

describe('turns', () => {
  test('come in the order they were asked for, one at a time', async () => {
    const turns = createTurns()
    const log: string[] = []
    const work = (name: string) => async () => {
      log.push(`${name} begins`)
      await new Promise(setImmediate)
      log.push(`${name} ends`)
      return name
    }
    expect(await Promise.all(['a', 'b', 'c'].map((name) => turns.run(work(name))))).toEqual(['a', 'b', 'c'])
    expect(log).toEqual(['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]))
  })

  test('go on after one that failed, which concerns only who asked for it', async () => {
    const turns = createTurns()
    const failed = turns.run(() => Promise.reject(new Error('no')))
    const next = turns.run(async () => 'yes')
    await expect(failed).rejects.toThrow('no')
    expect(await next).toBe('yes')
  })

  test('are idle when all that was asked for has ended, well or not', async () => {
    const turns = createTurns()
    let ended = 0
    const work = async () => {
      await new Promise(setImmediate)
      ended++
      if (ended === 2) throw new Error('no')
    }
    const all = [1, 2, 3].map(() => turns.run(work))
    await turns.idle()
    expect(ended).toBe(3)
    await Promise.allSettled(all)
  })
})
