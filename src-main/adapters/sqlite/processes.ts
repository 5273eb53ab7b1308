/**
 * Tells whether the process that wrote something is still running, across crashes and restarts.
 *
 * A process id alone cannot: ids are reused, and in a container every start gets the same one. So an owner is an id and a
 * token of its start. Linux tells when any process started, which makes the answer exact. Elsewhere only this process
 * knows its token: another id counts as alive while any process has it. That errs on the safe side: what a dead process
 * left is picked up later, never taken from a living one.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'

export interface ProcessOwner {
  readonly pid: number
  readonly start: string
}

export interface Processes {
  readonly self: ProcessOwner
  isAlive(owner: ProcessOwner): boolean
}

const randomStart = randomUUID()

export function createProcesses(): Processes {
  const self = { pid: process.pid, start: linuxStart(process.pid) ?? randomStart }
  return {
    self,
    isAlive(owner) {
      if (owner.pid === self.pid) return owner.start === self.start
      return process.platform === 'linux' ? linuxStart(owner.pid) === owner.start : idInUse(owner.pid)
    },
  }
}

/** Boot id and start time in clock ticks since that boot: proc(5), `/proc/pid/stat` field 22. */
function linuxStart(pid: number): string | null {
  if (process.platform !== 'linux') return null
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot}:${startTicks(readFileSync(`/proc/${pid}/stat`, 'utf8'))}`
  } catch {
    return null
  }
}

/** The second field is the program's name in parentheses and may hold anything, so count from the last parenthesis. */
export function startTicks(stat: string): string {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // from field 3 on
  return fields[22 - 3] ?? ''
}

function idInUse(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // Not permitted to signal it: it exists and is someone else's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
