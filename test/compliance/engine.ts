/**
 * What every engine promises, run on every engine: the port's contract, with `core/numerics` as the oracle. Nothing but the
 * port is used, so an engine may as well sit in another process.
 */
import { describe } from 'vitest'
import { describeBackward } from './engine/backward.ts'
import { describeBatches } from './engine/batches.ts'
import { describeEnds } from './engine/ends.ts'
import { describeForks } from './engine/forks.ts'
import { describeFormats } from './engine/formats.ts'
import { describeLoading } from './engine/loading.ts'
import { describeNumerics } from './engine/numerics.ts'
import { describePatches } from './engine/patches.ts'
import { describeRunners } from './engine/runners.ts'
import { describeSessions } from './engine/sessions.ts'
import { type DisposableEngine, type EngineSuiteOptions, prepareEngine } from './engine/under-test.ts'

export function describeEngine(
  name: string,
  create: () => DisposableEngine | Promise<DisposableEngine>,
  options: EngineSuiteOptions,
): void {
  describe(name, () => {
    const suite = prepareEngine(create, options)
    describeNumerics(suite)
    describeSessions(suite)
    describeForks(suite)
    describeBatches(suite)
    describePatches(suite)
    describeBackward(suite)
    describeFormats(suite)
    describeRunners(suite)
    describeLoading(suite)
    describeEnds(suite)
  })
}
