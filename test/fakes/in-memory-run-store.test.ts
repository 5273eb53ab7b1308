import { describeRunStore } from '#test/compliance/run-store.ts'
import { createInMemoryRunStore, createKeptRuns } from './in-memory-run-store.ts'

describeRunStore('the fake', async () => {
  const kept = createKeptRuns()
  return {
    open: async () => createInMemoryRunStore(kept),
    async damageNewestCheckpoint(id) {
      const newest = kept.checkpoints.get(id)?.at(-1)
      if (newest) newest.bytes = null
    },
    dispose: async () => kept[Symbol.dispose](),
  }
})
