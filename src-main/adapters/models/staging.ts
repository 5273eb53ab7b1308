/**
 * Where an import is prepared: a folder beside the models, named after the process that fills it, which becomes a model
 * by one rename. Whatever a killed process left behind is recognised by its name and swept.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

const pattern = /^\.import-(\d{1,10})-[0-9a-f]{16}$/
const oldestImportMs = 24 * 60 * 60 * 1000

/** A new path in `directory` that a sweep leaves alone while this process lives. */
export function stagingPath(directory: string): string {
  return join(directory, `.import-${process.pid}-${randomBytes(8).toString('hex')}`)
}

/** Runs `use` on a new folder; whatever is left at its path afterwards is removed. */
export async function withStagingFolder<T>(directory: string, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = stagingPath(directory)
  await mkdir(folder, { mode: 0o700 })
  try {
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Removes what dead processes left in `directory`. */
export async function sweepStaging(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const pid = pattern.exec(name)?.[1]
    if (pid === undefined) continue
    const path = join(directory, name)
    if (await isOrphan(path, Number(pid))) await rm(path, { recursive: true, force: true })
  }
}

async function isOrphan(path: string, pid: number): Promise<boolean> {
  const changedMs = await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => null,
  )
  if (changedMs === null) return false
  if (Date.now() - changedMs > oldestImportMs) return true
  // A process number is used again after a restart: ours cannot have written before it began.
  return pid === process.pid ? changedMs < Date.now() - process.uptime() * 1000 - 1000 : !isAlive(pid)
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
