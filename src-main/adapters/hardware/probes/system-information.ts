/**
 * The npm package `systeminformation`: knows a little about every system, so it fills what the special probes leave open.
 * It answers 0, -1 or an empty string for what it does not know.
 */
import { pciAddressOf, pciIdOf, vendorOf } from '../gpus.ts'
import type { Machine } from '../machine.ts'
import {
  type Battery,
  type Fields,
  fieldsOf,
  type GpuSighting,
  listOf,
  percentOf,
  positiveOf,
  type Sighting,
  simdOf,
  textOf,
} from '../sighting.ts'

const mebibyte = 1024 ** 2

export async function probeSystemInformationCpu({ systemInformation }: Machine): Promise<Sighting> {
  const [cpu, flags] = await Promise.all([systemInformation.cpu(), systemInformation.cpuFlags()])
  return { cpu: cpuOf(cpu, flags) }
}

export async function probeSystemInformationMemory({ systemInformation }: Machine): Promise<Sighting> {
  const memory = fieldsOf(await systemInformation.mem())
  return { memory: { totalBytes: positiveOf(memory['total']), availableBytes: positiveOf(memory['available']) } }
}

export async function probeSystemInformationGraphics({ systemInformation, platform }: Machine): Promise<Sighting> {
  const { controllers } = fieldsOf(await systemInformation.graphics())
  return { gpus: listOf(controllers).map((controller) => gpuOf(controller, platform)) }
}

export async function probeSystemInformationBattery({ systemInformation }: Machine): Promise<Sighting> {
  return { battery: batteryOf(await systemInformation.battery()) }
}

export function cpuOf(cpu: unknown, flags: unknown): NonNullable<Sighting['cpu']> {
  const { manufacturer, brand, physicalCores } = fieldsOf(cpu)
  const names = String(flags).split(/\s+/)
  const maker = textOf(manufacturer)
  const name = textOf(brand)
  return {
    model: name === null || maker === null || name.startsWith(maker) ? name : textOf(`${maker} ${name}`),
    physicalCores: positiveOf(physicalCores),
    simd: simdOf(names, names.includes('asimd') || names.includes('neon') ? 'arm' : 'x86'),
  }
}

export function gpuOf(controller: Fields, platform: string): GpuSighting {
  const [vendorId, deviceId] = String(controller['pciID'] ?? '').split(':')
  const pciId = pciIdOf(vendorId, deviceId)
  const model = textOf(controller['name']) ?? textOf(controller['model'])
  return {
    vendor: vendorOf(pciId, textOf(controller['vendor']), model),
    model,
    memoryBytes: memoryOf(controller, platform),
    driver: textOf(controller['driverVersion']),
    source: 'systeminformation',
    pciAddress: pciAddressOf(controller['busAddress']) ?? pciAddressOf(controller['pciBus']),
    pciId,
  }
}

/**
 * `memoryTotal` comes from the vendor's tool. `vram` (both MiB) is on Linux the size of a window into the card's memory,
 * often 256 MiB whatever the card has, and on Windows stops below 4 GiB.
 */
function memoryOf({ memoryTotal, vram, vramDynamic }: Fields, platform: string): number | null {
  const told = positiveOf(memoryTotal, mebibyte)
  if (told !== null || platform === 'linux' || vramDynamic === true) return told
  const bytes = positiveOf(vram, mebibyte)
  return platform === 'win32' && bytes !== null && bytes >= 4095 * mebibyte ? null : bytes
}

export function batteryOf(answer: unknown): Battery | null {
  const { hasBattery, isCharging, acConnected, percent } = fieldsOf(answer)
  if (hasBattery !== true) return null
  return {
    onBattery: acConnected === false,
    charging: typeof isCharging === 'boolean' ? isCharging : null,
    percent: percentOf(percent),
  }
}
