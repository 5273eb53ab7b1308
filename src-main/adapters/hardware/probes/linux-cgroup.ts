/**
 * A container's memory limit, which the machine's own numbers do not show. Control groups nest and the tightest limit
 * holds, so every group from this process's own up to the root is read, of version 2 or 1 (cgroups(7)).
 */
import type { Machine } from '../machine.ts'
import { positiveOf, type Sighting } from '../sighting.ts'

interface Version {
  readonly root: string
  readonly limit: string
  readonly usage: string
  /** In `memory.stat`: file pages that the kernel drops when memory is asked for. They count as used, but are not. */
  readonly reclaimable: string
}

const versions: Readonly<Record<'one' | 'two', Version>> = {
  two: { root: '/sys/fs/cgroup', limit: 'memory.max', usage: 'memory.current', reclaimable: 'inactive_file' },
  one: {
    root: '/sys/fs/cgroup/memory',
    limit: 'memory.limit_in_bytes',
    usage: 'memory.usage_in_bytes',
    reclaimable: 'total_inactive_file',
  },
}

export interface CgroupFiles {
  readonly limit: string | null
  readonly usage: string | null
  readonly stat: string | null
}

export async function probeLinuxCgroup(machine: Machine): Promise<Sighting> {
  const groups = parseMembership((await machine.readText('/proc/self/cgroup')) ?? '')
  const readings = await Promise.all(
    groups.map(async ({ version, path }) => {
      const { root, limit, usage, reclaimable } = versions[version]
      const read = (name: string) => machine.readText(`${root}${path}/${name}`)
      const files = { limit: await read(limit), usage: await read(usage), stat: await read('memory.stat') }
      return parseCgroup(files, reclaimable)
    }),
  )
  const totalBytes = least(readings, 'totalBytes')
  return { memory: { totalBytes, availableBytes: least(readings, 'availableBytes'), limited: true } }
}

/** The groups to read, from `/proc/self/cgroup`; a container often sees its own group as the root. */
export function parseMembership(text: string): readonly { version: 'one' | 'two'; path: string }[] {
  return text.split('\n').flatMap((line) => {
    const [, hierarchy, controllers = '', path = ''] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? []
    const version = hierarchy === '0' ? 'two' : controllers.split(',').includes('memory') ? 'one' : null
    if (version === null || path.includes('..')) return []
    return ancestors(path).map((ancestor) => ({ version, path: ancestor }))
  })
}

/** `/a/b` -> `/a/b`, `/a`, and the empty path of the root. */
function ancestors(path: string): readonly string[] {
  const names = path
    .split('/')
    .filter((name) => name !== '')
    .slice(0, 16)
  return [...names.map((_, index) => `/${names.slice(0, index + 1).join('/')}`).toReversed(), '']
}

/** `max`, or a limit beyond all memory, means none; the caller takes the least of this and the machine's own numbers. */
export function parseCgroup({ limit, usage, stat }: CgroupFiles, reclaimable: string): NonNullable<Sighting['memory']> {
  const totalBytes = positiveOf(limit?.trim())
  const usedBytes = positiveOf(usage?.trim())
  if (totalBytes === null || usedBytes === null) return { totalBytes, availableBytes: null }
  const reclaimableBytes = positiveOf(new RegExp(`^${reclaimable} (\\d+)$`, 'm').exec(stat ?? '')?.[1]) ?? 0
  const heldBytes = Math.max(0, usedBytes - reclaimableBytes)
  return { totalBytes, availableBytes: Math.max(0, totalBytes - heldBytes) }
}

function least(readings: readonly NonNullable<Sighting['memory']>[], field: 'totalBytes' | 'availableBytes') {
  const known = readings.map((reading) => reading[field]).filter((value) => value !== null)
  return known.length === 0 ? null : Math.min(...known)
}
