/** The processor, graphics and battery of a Mac, through the tools every macOS has. */
import { vendorOf } from '../gpus.ts'
import type { CommandOptions, Machine } from '../machine.ts'
import {
  type Battery,
  type Fields,
  fieldsOf,
  type GpuSighting,
  jsonOf,
  listOf,
  percentOf,
  positiveOf,
  type Sighting,
  simdOf,
  textOf,
} from '../sighting.ts'

const mebibyte = 1024 ** 2
const gibibyte = 1024 ** 3

/** `-i` passes over names this Mac does not have. */
const sysctlArgs = [
  '-i',
  'hw.memsize',
  'hw.physicalcpu',
  'machdep.cpu.brand_string',
  'machdep.cpu.features',
  'machdep.cpu.leaf7_features',
  'hw.optional',
  'iogpu.wired_limit_mb',
]

export async function probeMacos(machine: Machine, options: CommandOptions): Promise<Sighting> {
  const [sysctl, profiler, pmset] = await Promise.all([
    machine.run('sysctl', sysctlArgs, options),
    machine.run('system_profiler', ['SPDisplaysDataType', '-json'], options),
    machine.run('pmset', ['-g', 'batt'], options),
  ])
  const values = parseSysctl(sysctl)
  return {
    cpu: cpuOf(values),
    memory: { totalBytes: positiveOf(values['hw.memsize']), availableBytes: null },
    gpus: parseSystemProfiler(profiler, unifiedMemoryOf(values)),
    battery: parsePmset(pmset),
  }
}

/** Lines of `name: value`. */
export function parseSysctl(text: string | null): Readonly<Record<string, string>> {
  const lines = (text ?? '').split('\n').flatMap((line) => {
    const match = /^([\w.]+): (.*)$/.exec(line)
    return match === null ? [] : [[match[1], match[2]] as const]
  })
  return Object.fromEntries(lines)
}

/** Intel Macs list features as x86 names; all list `hw.optional.NAME: 1`, Apple's own chips as `arm.FEAT_…`. */
export function cpuOf(values: Readonly<Record<string, string>>): NonNullable<Sighting['cpu']> {
  const listed = `${values['machdep.cpu.features'] ?? ''} ${values['machdep.cpu.leaf7_features'] ?? ''}`.split(/\s+/)
  const optional = Object.entries(values)
    .filter(([name, value]) => name.startsWith('hw.optional.') && value === '1')
    .map(([name]) => name.replace(/^hw\.optional\.(arm\.)?/, ''))
  return {
    model: textOf(values['machdep.cpu.brand_string']),
    physicalCores: positiveOf(values['hw.physicalcpu']),
    simd: simdOf(listed, 'x86') ?? simdOf(optional, 'arm'),
  }
}

/** Apple's chips share one memory between CPU and GPU: the GPU may use what the owner wired for it, or else all. */
function unifiedMemoryOf(values: Readonly<Record<string, string>>): number | null {
  return positiveOf(values['iogpu.wired_limit_mb'], mebibyte) ?? positiveOf(values['hw.memsize'])
}

export function parseSystemProfiler(text: string | null, unifiedMemoryBytes: number | null): readonly GpuSighting[] {
  return listOf(fieldsOf(jsonOf(text))['SPDisplaysDataType']).map((card) => {
    const model = textOf(card['sppci_model']) ?? textOf(card['_name'])
    const vendor = vendorOf(null, textOf(card['spdisplays_vendor']) ?? textOf(card['sppci_vendor']), model)
    const isUnified = vendor === 'Apple'
    return {
      vendor,
      model,
      memoryBytes: isUnified ? unifiedMemoryBytes : memoryOf(card),
      driver: null,
      source: isUnified ? 'system_profiler (unified memory)' : 'system_profiler',
      pciAddress: null,
      pciId: null,
    }
  })
}

/** `8 GB` or `1536 MB`, of its own or taken from the machine's. */
function memoryOf(card: Fields): number | null {
  const text = textOf(card['spdisplays_vram']) ?? textOf(card['spdisplays_vram_shared']) ?? ''
  const [, amount, unit] = /^(\d+) (MB|GB)$/.exec(text) ?? []
  return positiveOf(amount, unit === 'GB' ? gibibyte : mebibyte)
}

/** ` -InternalBattery-0 (id=…)	83%; discharging; 3:41 remaining present: true`, below the line that names the source. */
export function parsePmset(text: string | null): Battery | null {
  const [, percent, state] = /^ ?-InternalBattery-\d+.*?\t(\d{1,3})%; ([^;\n]+)/m.exec(text ?? '') ?? []
  if (state === undefined) return null
  return {
    onBattery: /drawing from 'Battery Power'/.test(text ?? ''),
    charging: state === 'charging' || state === 'finishing charge',
    percent: percentOf(percent),
  }
}
