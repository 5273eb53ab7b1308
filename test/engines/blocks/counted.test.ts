import { expect, test } from 'vitest'
import { createCounted } from '#engines/blocks/counted.ts'

test('what is held by several is freed once, when the last lets go', () => {
  let freed = 0
  const counted = createCounted(() => void freed++)
  counted.hold()
  counted.hold()
  counted.release()
  counted.release()
  expect(freed).toBe(0)
  counted.release()
  expect(freed).toBe(1)
})
