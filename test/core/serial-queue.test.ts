import { expect, test } from 'vitest'
import { createSerialQueue } from '#core/serial-queue.ts'

test('work runs one at a time in the order asked for, and a failure stops nobody else', async () => {
  const queue = createSerialQueue()
  const story: string[] = []
  const work = (name: string, fails = false) =>
    queue.add(async () => {
      story.push(`${name} begins`)
      await Promise.resolve()
      story.push(`${name} ends`)
      if (fails) throw new Error(name)
      return name
    })
  const results = await Promise.allSettled([work('a'), work('b', true), work('c')])
  expect(story).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
})
