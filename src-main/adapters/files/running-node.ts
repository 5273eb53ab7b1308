/** How the command line finds the node that runs on a profile: its address, written when it listens, removed when it ends. */
import { rm } from 'node:fs/promises'
import * as z from 'zod'
import { atomicWrite } from './atomic-write.ts'
import { readJsonFile } from './json-file.ts'

const runningNodeSchema = z.strictObject({
  processId: z.int().positive(),
  uiPort: z.int().min(1).max(65535),
})
export type RunningNode = Readonly<z.infer<typeof runningNodeSchema>>

export async function writeRunningNode(file: string, node: RunningNode): Promise<void> {
  await atomicWrite(file, `${JSON.stringify(node)}\n`)
}

/** Null when none is noted. A note may be stale: whoever connects finds out. */
export async function readRunningNode(file: string): Promise<RunningNode | null> {
  return await readJsonFile(file, runningNodeSchema)
}

export async function removeRunningNode(file: string): Promise<void> {
  await rm(file, { force: true })
}
