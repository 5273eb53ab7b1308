import type { Command } from 'commander'
import { addPatchExchange } from './patch-exchange.ts'
import { addPatchFiles } from './patch-files.ts'
import { addPatchTrain } from './patch-train.ts'

/** `quiltbee patch …`: what changes a model, by a little. */
export function addPatch(program: Command): void {
  const patch = program.command('patch').description('train, inspect, share and fetch patches of a model')
  for (const add of [addPatchTrain, addPatchFiles, addPatchExchange]) add(patch)
}
