/** Desks of a node whose test is not about patches: they hold nothing, and say so when they are asked for more. */

import type { NodeTraining } from '#app/create-node.ts'
import type { RunningPatchDesk } from '#app/patches/create-patch-desk.ts'
import { PatchNotFoundError, RunNotFoundError } from '#core/errors.ts'
import type { PatchProvider } from '#core/ports/patch-provider.ts'

const noPatches = { patches: [], usage: { bytes: 0, quotaBytes: 0 }, follows: [] }

async function lacking(patch: string): Promise<never> {
  throw new PatchNotFoundError(patch)
}

export const idlePatches: PatchProvider = { resolve: lacking, weights: lacking }

export function idlePatchDesk(): RunningPatchDesk {
  return {
    start() {},
    stop() {},
    list: async () => noPatches,
    async *watch() {
      yield noPatches
    },
    show: lacking,
    diff: ({ left }) => lacking(left),
    search: async () => ({ found: 0 }),
    async *fetch(patch) {
      yield { type: 'error', code: 'patch-not-found', params: { patch } }
    },
    share: lacking,
    remove: lacking,
    tag: (tag) => lacking(tag),
    follow: async () => {},
    import: ({ path }) => lacking(path),
    export: ({ patch }) => lacking(patch),
  }
}

export function idleTraining(): NodeTraining {
  const refuse = async (): Promise<never> => {
    throw new Error('nothing is trained in these tests')
  }
  const unknown = async (id: string): Promise<never> => {
    throw new RunNotFoundError(id)
  }
  return {
    start: async () => {},
    stop: async () => {},
    desk: {
      upload: refuse,
      inspect: () => {
        throw new Error('nothing is trained in these tests')
      },
      plan: refuse,
      start: refuse,
      runs: async () => [],
      show: unknown,
      // biome-ignore lint/correctness/useYield: there is nothing to tell of
      async *watch(id) {
        await unknown(id)
      },
      act: unknown,
    },
  }
}
