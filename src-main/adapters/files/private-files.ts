/**
 * Files that belong to one process while it lives: their names carry its id, so that what a killed process left is
 * recognised and removed by the next one. What is still there when this process ends normally goes with it.
 */
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { lstat, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

const owned = new Set<string>()
let removesAtExit = false

/** `<prefix>.<process>-<random>.held`: a new path in `directory`, nothing there yet. */
export function privatePath(directory: string, prefix: string): string {
  const path = join(directory, `${prefix}.${process.pid}-${randomBytes(8).toString('hex')}.held`)
  owned.add(path)
  if (!removesAtExit) process.on('exit', removeOwned)
  removesAtExit = true
  return path
}

/** Idempotent. Windows keeps a file that is still mapped; that one goes when the process ends, or with the next sweep. */
export async function removePrivate(path: string): Promise<void> {
  const gone = await rm(path, { force: true }).then(
    () => true,
    () => false,
  )
  if (gone) owned.delete(path)
}

/** Removes from `directory` what processes that are no more left of files that begin with `prefix`. */
export async function sweepPrivate(directory: string, prefix = ''): Promise<void> {
  for (const name of await readdir(directory)) {
    const pid = /\.(\d{1,10})-[0-9a-f]{16}\.held$/.exec(name)?.[1]
    if (pid === undefined || !name.startsWith(prefix)) continue
    const path = join(directory, name)
    // Another user's file in a shared folder stays: removing it is theirs.
    if (await isLeftover(path, Number(pid))) await rm(path, { force: true }).catch(() => undefined)
  }
}

/** A process id is used again after a restart: ours cannot have written before it began. */
async function isLeftover(path: string, pid: number): Promise<boolean> {
  if (owned.has(path)) return false
  if (pid !== process.pid) return !isAlive(pid)
  const found = await lstat(path).catch(() => null)
  return found !== null && found.mtimeMs < Date.now() - process.uptime() * 1000 - 1000
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

function removeOwned(): void {
  for (const path of owned) {
    try {
      rmSync(path, { force: true })
    } catch {
      // The next sweep tries again.
    }
  }
}
