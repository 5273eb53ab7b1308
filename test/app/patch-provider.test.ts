import { expect, test, vi } from 'vitest'
import { createPatchProvider, maximumFetchedBytes } from '#app/patch-provider.ts'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import { WrongBaseError } from '#contracts/patch-file/errors.ts'
import { PatchNotFoundError, QuotaExceededError } from '#core/errors.ts'
import type { KeptPatch } from '#core/ports/patch-library.ts'

const digest = (letter: string): Digest => digestSchema.parse(letter.repeat(64))
const [base, otherBase, patch] = ['a', 'b', 'c'].map(digest) as [Digest, Digest, Digest]
const content = { deltas: [], scales: [], factors: [] }

/** A library that has `patch` when `kept` says so; fetching brings it. */
function providerOf(init: { kept?: 'whole' | 'part'; bytes?: number; online?: boolean }) {
  const state = { kept: init.kept }
  const library = {
    async get(name: string) {
      if (state.kept === undefined || !patch.startsWith(name)) throw new PatchNotFoundError(name)
      const known = { digest: patch, header: { base: { digest: base } }, complete: state.kept === 'whole' }
      return known as unknown as KeptPatch
    },
    read: async () => content,
    usage: async () => ({ bytes: init.bytes ?? 0, quotaBytes: 4 * maximumFetchedBytes }),
  }
  const fetch = vi.fn(async () => {
    state.kept = 'whole'
  })
  return { provider: createPatchProvider({ library, fetch: init.online === false ? null : fetch }), fetch }
}

test('a name stands for a whole patch on the base that is asked for', async () => {
  const { provider } = providerOf({ kept: 'whole' })
  expect(await provider.resolve('cccccccc', base)).toBe(patch)
  await expect(provider.resolve('cccccccc', otherBase)).rejects.toThrow(WrongBaseError)
  await expect(providerOf({ kept: 'part' }).provider.resolve('cccccccc', base)).rejects.toThrow(PatchNotFoundError)
})

test('a patch that a peer’s session brings is fetched once it is wanted, and only when it is not here', async () => {
  const { provider, fetch } = providerOf({})
  expect(await provider.weights(patch, { base, mayFetch: true })).toBe(content)
  expect(await provider.weights(patch, { base, mayFetch: true })).toBe(content)
  expect(fetch).toHaveBeenCalledTimes(1)
  expect(fetch).toHaveBeenCalledWith(patch, expect.objectContaining({ base, maximumBytes: maximumFetchedBytes }))
})

test('the owner’s own texts fetch nothing, and neither does a node without a swarm', async () => {
  const { provider, fetch } = providerOf({})
  await expect(provider.weights(patch, { base, mayFetch: false })).rejects.toThrow(PatchNotFoundError)
  expect(fetch).not.toHaveBeenCalled()
  const alone = providerOf({ online: false }).provider
  await expect(alone.weights(patch, { base, mayFetch: true })).rejects.toThrow(PatchNotFoundError)
})

test('strangers cannot fill the library: half of its quota is the owner’s', async () => {
  const { provider, fetch } = providerOf({ bytes: maximumFetchedBytes + 1 })
  await expect(provider.weights(patch, { base, mayFetch: true })).rejects.toThrow(QuotaExceededError)
  expect(fetch).not.toHaveBeenCalled()
})
