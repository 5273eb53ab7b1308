/** The processes that a process has started, as Linux's /proc shows them. */
import { readdirSync, readFileSync } from 'node:fs'

/** Where tests can see other processes. */
export const seesProcesses = process.platform === 'linux'

/** Ids of the compute workers that `parent` started and that live. */
export function workersOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((id) => parentOf(id) === parent && commandOf(id).includes('workers/compute'))
}

export function isAlive(id: number): boolean {
  return parentOf(id) !== null
}

export function residentBytesOf(id: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readProcess(id, 'status') ?? '')?.[1]
  return Number(kilobytes) * 1024
}

/** Null for one that is gone or a zombie. */
function parentOf(id: number): number | null {
  // After the name, which may hold anything: state, parent.
  const fields = readProcess(id, 'stat')
    ?.replace(/^.*\) /s, '')
    .split(' ')
  return fields === undefined || fields[0] === 'Z' ? null : Number(fields[1])
}

function commandOf(id: number): string {
  return readProcess(id, 'cmdline') ?? ''
}

function readProcess(id: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${id}/${file}`, 'utf8')
  } catch {
    return null
  }
}
