/** The processor and memory as Linux tells them in `/proc` (proc(5)). */
import type { Machine } from '../machine.ts'
import { positiveOf, type Sighting, simdOf, textOf } from '../sighting.ts'

export async function probeLinuxProc(machine: Machine): Promise<Sighting> {
  const [cpuinfo, meminfo] = await Promise.all([machine.readText('/proc/cpuinfo'), machine.readText('/proc/meminfo')])
  return { cpu: parseCpuinfo(cpuinfo ?? ''), memory: parseMeminfo(meminfo ?? '') }
}

/** x86 lists `model name`, `core id` and `flags`; Arm only `Features`, and on some boards a `Model` at the end. */
export function parseCpuinfo(text: string): NonNullable<Sighting['cpu']> {
  const flags = valueAt(text, 'flags')
  return {
    model: textOf(valueAt(text, 'model name') ?? valueAt(text, 'Model')),
    physicalCores: countCores(text),
    simd: flags === null ? simdOf(words(valueAt(text, 'Features')), 'arm') : simdOf(words(flags), 'x86'),
  }
}

/** A core is a pair of socket and core id; its threads repeat the pair. Null when the pairs are not told. */
function countCores(text: string): number | null {
  const processors = text.split(/\n\s*\n/)
  const cores = processors.flatMap((block) => {
    const core = valueAt(block, 'core id')
    return core === null ? [] : `${valueAt(block, 'physical id') ?? '0'}:${core}`
  })
  return positiveOf(new Set(cores).size)
}

export function parseMeminfo(text: string): NonNullable<Sighting['memory']> {
  const kibibytes = (key: string) => positiveOf(/^(\d+) kB$/.exec(valueAt(text, key) ?? '')?.[1], 1024)
  return { totalBytes: kibibytes('MemTotal'), availableBytes: kibibytes('MemAvailable') }
}

/** The first line `key : value`. */
function valueAt(text: string, key: string): string | null {
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0 && line.slice(0, colon).trim() === key) return line.slice(colon + 1).trim()
  }
  return null
}

function words(text: string | null): readonly string[] {
  return (text ?? '').split(/\s+/)
}
