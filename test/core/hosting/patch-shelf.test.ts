import { expect, test, vi } from 'vitest'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import { PatchNotFoundError, QuotaExceededError } from '#core/errors.ts'
import { createPatchShelf } from '#core/hosting/patch-shelf.ts'

const digest = (letter: string): Digest => digestSchema.parse(letter.repeat(64))
const [a, b, c] = ['a', 'b', 'c'].map(digest) as [Digest, Digest, Digest]
const nothing = { deltas: [], scales: [] }

/** Every patch takes 10 bytes. */
function shelfOf(limits = { unusedBytes: 15, usedBytes: 25 }) {
  const disposed: string[] = []
  const weights = vi.fn(async (patch: Digest) => {
    if (patch === c) throw new PatchNotFoundError(patch)
    return nothing
  })
  let loads = 0
  const load = async () => {
    const name = `load ${loads++}`
    return { weightBytes: 10, dispose: () => void disposed.push(name) }
  }
  return { shelf: createPatchShelf({ weights, load }, limits), weights, disposed }
}

test('sessions that use one patch share what was prepared for it', async () => {
  const { shelf, weights, disposed } = shelfOf()
  const [one, two] = await Promise.all([shelf.borrow([a]), shelf.borrow([a])])
  expect(one.patches[0]).toBe(two.patches[0])
  expect(weights).toHaveBeenCalledTimes(1)
  one.giveBack()
  one.giveBack()
  two.giveBack()
  expect(disposed).toEqual([])
})

test('a patch that nobody uses stays until others need the room', async () => {
  const { shelf, weights, disposed } = shelfOf()
  for (const patch of [a, b]) (await shelf.borrow([patch])).giveBack()
  await vi.waitFor(() => expect(disposed).toEqual(['load 0']))
  ;(await shelf.borrow([b])).giveBack()
  expect(weights).toHaveBeenCalledTimes(2)
})

test('patches that do not fit together are refused and none is kept in use', async () => {
  const { shelf, disposed } = shelfOf({ unusedBytes: 0, usedBytes: 15 })
  const held = await shelf.borrow([a])
  await expect(shelf.borrow([b])).rejects.toThrow(QuotaExceededError)
  await vi.waitFor(() => expect(disposed).toEqual(['load 1']))
  held.giveBack()
  await vi.waitFor(() => expect(disposed).toEqual(['load 1', 'load 0']))
})

test('when one of several patches cannot be had, the others are given back and it is tried anew the next time', async () => {
  const { shelf, weights, disposed } = shelfOf({ unusedBytes: 0, usedBytes: 100 })
  await expect(shelf.borrow([a, c])).rejects.toThrow(PatchNotFoundError)
  await vi.waitFor(() => expect(disposed).toEqual(['load 0']))
  await expect(shelf.borrow([c])).rejects.toThrow(PatchNotFoundError)
  expect(weights).toHaveBeenCalledTimes(3)
})

test('a closed shelf frees what is unused at once and the rest when it comes back', async () => {
  const { shelf, disposed } = shelfOf({ unusedBytes: 100, usedBytes: 100 })
  const held = await shelf.borrow([a])
  ;(await shelf.borrow([b])).giveBack()
  shelf.close()
  await vi.waitFor(() => expect(disposed).toEqual(['load 1']))
  held.giveBack()
  await vi.waitFor(() => expect(disposed).toEqual(['load 1', 'load 0']))
})
