/** Makes one profile of everything that was seen. Pure. */
import { type HardwareProfile, hardwareProfileSchema } from '#contracts/api/hardware.ts'
import { mergeGpus } from './gpus.ts'
import type { Sighting } from './sighting.ts'

export interface Basics {
  readonly measuredAtMs: number
  readonly platform: string
  readonly logicalCores: number
  /** From Node, which always knows; what is available may be less than the sightings say, or more. */
  readonly memory: { readonly totalBytes: number; readonly availableBytes: number }
  readonly disk: HardwareProfile['disk']
}

/** Most devices in a profile. */
const maximumGpus = 32

/** `sightings` with the most specific first: of two readings of one thing, the earlier stands. */
export function combine(basics: Basics, sightings: readonly Sighting[]): HardwareProfile {
  return hardwareProfileSchema.parse({
    measuredAtMs: basics.measuredAtMs,
    platform: basics.platform,
    cpu: combineCpus(basics.logicalCores, sightings),
    memory: combineMemories(basics.memory, sightings),
    gpus: mergeGpus(sightings.map(({ gpus = [] }) => gpus)).slice(0, maximumGpus),
    disk: basics.disk,
    battery: firstKnown(sightings.map(({ battery }) => battery)),
  })
}

function combineCpus(logicalCores: number, sightings: readonly Sighting[]): HardwareProfile['cpu'] {
  const physicalCores = firstKnown(sightings.map(({ cpu }) => cpu?.physicalCores))
  const simd = firstKnown(sightings.map(({ cpu }) => cpu?.simd))
  return {
    model: firstKnown(sightings.map(({ cpu }) => cpu?.model)),
    // A process bound to some of the cores cannot use more of them than it has threads.
    physicalCores: physicalCores === null ? null : Math.min(physicalCores, logicalCores),
    logicalCores,
    simd: simd === null ? null : [...simd],
  }
}

/**
 * The least of all totals: a container's limit is real, whatever is installed. Of what is available, the first reading
 * stands for the machine (Node's own counts only untouched memory on some systems), and every limit still holds.
 */
function combineMemories(node: Basics['memory'], sightings: readonly Sighting[]): HardwareProfile['memory'] {
  const memories = sightings.flatMap(({ memory }) => memory ?? [])
  const totalBytes = Math.min(node.totalBytes, ...memories.flatMap((memory) => memory.totalBytes ?? []))
  const limits = memories.flatMap(({ limited, availableBytes }) => (limited === true ? (availableBytes ?? []) : []))
  const machine = firstKnown(memories.map((memory) => (memory.limited === true ? null : memory.availableBytes)))
  return { totalBytes, availableBytes: Math.min(machine ?? node.availableBytes, totalBytes, ...limits) }
}

function firstKnown<T>(values: readonly (T | null | undefined)[]): T | null {
  return values.find((value) => value !== null && value !== undefined) ?? null
}
