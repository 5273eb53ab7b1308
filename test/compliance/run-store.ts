/** What every run store does, whatever it keeps its runs in. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RunStore } from '#core/ports/run-store.ts'
import { aPlan, aStoredRun, someDigest } from '#test/helpers/run-plans.ts'

export interface RunStoreHarness {
  /** Opens the store as another process would; those opened before stay open. */
  open(): Promise<RunStore>
  /** The newest checkpoint of a run is torn or rots. */
  damageNewestCheckpoint(id: string): Promise<void>
  dispose(): Promise<void>
}

export function describeRunStore(name: string, createHarness: () => Promise<RunStoreHarness>): void {
  describe(`${name} keeps runs`, () => {
    let harness: RunStoreHarness
    let store: RunStore
    beforeEach(async () => {
      harness = await createHarness()
      store = await harness.open()
    })
    afterEach(() => harness.dispose())

    const checkpoint = (length: number) => Uint8Array.from({ length }, (_, i) => i * 7)

    it('is empty at first', async () => {
      expect(await store.list()).toEqual([])
      await expect(store.get('00000000')).rejects.toMatchObject({ code: 'run-not-found' })
    })

    it('gives back what it was given, in another process too, the newest run first', async () => {
      const first = aStoredRun({ plan: aPlan({}, { title: 'Über Wale "and" ships' }) })
      const second = aStoredRun({ state: { kind: 'waiting', reason: 'another-run' } })
      await store.create(first)
      await store.create(second)
      const other = await harness.open()
      expect(await other.list()).toEqual([second, first])
      expect(await other.get(first.id)).toEqual(first)
      expect(await other.get(first.id.slice(0, 8))).toEqual(first)
    })

    it.each(['', '1234567', '%%%%%%%%', '../../..', 'ffffffff-ffff-4fff-8fff-ffffffffffff'])(
      'knows no run called "%s"',
      async (id) => {
        await store.create(aStoredRun({ id: '12345678-1234-4234-8234-123456789abc' }))
        await expect(store.get(id)).rejects.toMatchObject({ code: 'run-not-found' })
      },
    )

    it('changes what it is told to, and nothing else', async () => {
      const run = aStoredRun({ seconds: 3 })
      await store.create(run)
      const progress = {
        ...{ phase: 'training' as const, done: 3, total: 10, step: 3, steps: 10 },
        ...{ tokensPerSecond: 12.5, remainingSeconds: null, resumedFromStep: 2 },
      }
      const probes = [{ learningRate: 0.01, heldOutLoss: null }]
      await store.update(run.id, { progress, probes })
      await store.update(run.id, { state: { kind: 'finished', patch: someDigest, earlyStopped: true } })
      expect(await (await harness.open()).get(run.id)).toEqual({
        ...run,
        ...{ progress, probes, state: { kind: 'finished', patch: someDigest, earlyStopped: true } },
      })
      const nobody = aStoredRun().id
      await expect(store.update(nobody, { seconds: 1 })).rejects.toMatchObject({ code: 'run-not-found' })
    })

    it('keeps a curve in the order of steps, the newest word about a step, and forgets its end', async () => {
      const run = aStoredRun()
      await store.create(run)
      const point = (step: number, train: number | null, heldOut: number | null = null) => {
        return { step, train, heldOut, learningRate: 0.25 }
      }
      await store.addPoints(run.id, [point(2, 2), point(0, null, 3.5)])
      await store.addPoints(run.id, [point(4, 1), point(2, 2.5, 3)])
      expect(await store.points(run.id)).toEqual([point(0, null, 3.5), point(2, 2.5, 3), point(4, 1)])
      await store.dropPointsAfter(run.id, 2)
      expect(await store.points(run.id)).toEqual([point(0, null, 3.5), point(2, 2.5, 3)])
      await store.dropPointsAfter(run.id, -1)
      expect(await store.points(run.id)).toEqual([])
      await expect(store.addPoints(aStoredRun().id, [point(1, 1)])).rejects.toMatchObject({ code: 'run-not-found' })
    })

    it('gives the newest checkpoint, in another process too', async () => {
      const { id } = aStoredRun()
      expect(await store.loadCheckpoint(id)).toBeNull()
      for (const step of [0, 0, 4]) await store.saveCheckpoint(id, step, checkpoint(100 + step))
      expect(await (await harness.open()).loadCheckpoint(id)).toEqual({ step: 4, bytes: checkpoint(104) })
    })

    it('gives the one before when the newest is damaged, and goes on from there', async () => {
      const { id } = aStoredRun()
      for (const step of [2, 4, 6]) await store.saveCheckpoint(id, step, checkpoint(10 * step))
      await harness.damageNewestCheckpoint(id)
      expect(await store.loadCheckpoint(id)).toEqual({ step: 4, bytes: checkpoint(40) })
      await store.saveCheckpoint(id, 5, checkpoint(50))
      expect(await store.loadCheckpoint(id)).toEqual({ step: 5, bytes: checkpoint(50) })
    })

    it('has a folder for each run, which goes with what is in it', async () => {
      const run = aStoredRun()
      await store.create(run)
      const folder = await store.directory(run.id)
      writeFileSync(join(folder, 'data'), 'mine')
      await store.saveCheckpoint(run.id, 1, checkpoint(5))
      await store.clear(run.id)
      expect(existsSync(folder)).toBe(false)
      expect(await store.loadCheckpoint(run.id)).toBeNull()
      expect(await store.get(run.id)).toEqual(run)
      await store.clear(run.id)
    })

    it('removes a run with all that belongs to it', async () => {
      const [gone, stays] = [aStoredRun(), aStoredRun()]
      for (const run of [gone, stays]) {
        await store.create(run)
        await store.addPoints(run.id, [{ step: 1, train: 1, heldOut: null, learningRate: 1 }])
        await store.saveCheckpoint(run.id, 1, checkpoint(5))
      }
      const folder = await store.directory(gone.id)
      await store.remove(gone.id)
      expect(await store.list()).toEqual([stays])
      expect(await store.points(gone.id)).toEqual([])
      expect(await store.points(stays.id)).toHaveLength(1)
      expect(existsSync(folder)).toBe(false)
      await expect(store.remove(gone.id)).rejects.toMatchObject({ code: 'run-not-found' })
    })
  })
}
