/** Which graphics devices count, what their makers are called, and which sightings are of one and the same device. */
import type { Gpu } from '#contracts/api/hardware.ts'
import type { GpuSighting } from './sighting.ts'

/** `0000:01:00.0` from any of the ways tools write it (`00000000:01:00.0`, `01:00.0`); null for anything else. */
export function pciAddressOf(text: unknown): string | null {
  const match = /^(?:[0-9a-f]{0,4}([0-9a-f]{4}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$/i.exec(String(text).trim())
  return match === null ? null : `${match[1] ?? '0000'}:${match[2]}`.toLowerCase()
}

/** `10de:2684` from two hexadecimal numbers of four digits, with or without `0x`. */
export function pciIdOf(vendor: unknown, device: unknown): string | null {
  const digits = [vendor, device].map((id) => /^(?:0x)?([0-9a-f]{4})$/i.exec(String(id).trim())?.[1]?.toLowerCase())
  return digits.includes(undefined) ? null : digits.join(':')
}

const vendorsById: Readonly<Record<string, string>> = {
  '10de': 'NVIDIA',
  '1002': 'AMD',
  '8086': 'Intel',
  '106b': 'Apple',
  '5143': 'Qualcomm',
}

const vendorsByName: readonly (readonly [RegExp, string])[] = [
  [/nvidia/i, 'NVIDIA'],
  [/\bamd\b|\bati\b|advanced micro devices|radeon/i, 'AMD'],
  [/intel/i, 'Intel'],
  [/apple/i, 'Apple'],
  [/qualcomm|adreno/i, 'Qualcomm'],
]

/** The maker's usual name, from its PCI id when known, else from any of the texts; the first text when it is another. */
export function vendorOf(pciId: string | null, ...texts: readonly (string | null)[]): string | null {
  const byId = vendorsById[pciId?.slice(0, 4) ?? '']
  if (byId !== undefined) return byId
  const text = texts.filter((each) => each !== null).join(' ')
  return vendorsByName.find(([pattern]) => pattern.test(text))?.[1] ?? texts.find((each) => each !== null) ?? null
}

/**
 * Devices that draw but do not compute: the CPU pretending (llvmpipe, Basic Display), a virtual machine's or remote
 * desktop's display (virtio, QXL, Hyper-V, VMware, VirtualBox), a server's management chip (ASPEED, Matrox G200). To
 * plan work for them would be to plan it for the CPU a second time, or for nothing.
 */
const notForComputeByName =
  /llvmpipe|softpipe|swrast|swiftshader|software|basic (display|render)|remote (display|desktop)|hyper-v|virtio|red hat|\bqxl\b|bochs|qemu|vmware|virtualbox|parallels|citrix|displaylink|virtual display|indirect display|meta virtual|cirrus|aspeed|matrox/i
const notForComputeByVendorId: ReadonlySet<string> = new Set([
  '1af4', // Red Hat: virtio
  '1b36', // Red Hat: QXL
  '1234', // QEMU, Bochs
  '15ad', // VMware
  '80ee', // VirtualBox
  '1414', // Microsoft: Hyper-V, Basic Render
  '1013', // Cirrus Logic, as emulated by QEMU
  '1ab8', // Parallels
  '1a03', // ASPEED
  '102b', // Matrox
])

export function isForCompute({ vendor, model, pciId }: GpuSighting): boolean {
  if (pciId !== null && notForComputeByVendorId.has(pciId.slice(0, 4))) return false
  return !notForComputeByName.test(`${vendor ?? ''} ${model ?? ''}`)
}

/**
 * One entry a device, from lists of sightings with the most specific list first: its readings stand, later lists only
 * fill the gaps. Two devices in one list are never one, so equal cards stay apart.
 */
export function mergeGpus(lists: readonly (readonly GpuSighting[])[]): readonly Gpu[] {
  let devices: readonly GpuSighting[] = []
  for (const list of lists) devices = addList(devices, list.filter(isForCompute))
  return devices.map(({ vendor, model, memoryBytes, driver, source }) => ({
    vendor,
    model,
    memoryBytes,
    driver,
    source,
  }))
}

function addList(devices: readonly GpuSighting[], list: readonly GpuSighting[]): readonly GpuSighting[] {
  const result = [...devices]
  const taken = new Set<number>()
  for (const sighting of list) {
    const found = result.findIndex((device, index) => !taken.has(index) && isSameDevice(device, sighting))
    const index = found === -1 ? result.length : found
    const known = result[index]
    result[index] = known === undefined ? sighting : fillGaps(known, sighting)
    taken.add(index)
  }
  return result
}

function isSameDevice(one: GpuSighting, other: GpuSighting): boolean {
  if (one.pciAddress !== null && other.pciAddress !== null) return one.pciAddress === other.pciAddress
  if (one.pciId !== null && other.pciId !== null) return one.pciId === other.pciId
  return one.vendor === other.vendor && one.model !== null && plain(one.model) === plain(other.model ?? '')
}

/** `NVIDIA GeForce RTX™ 4090` and `GeForce RTX 4090` are one model. */
function plain(model: string): string {
  return model
    .toLowerCase()
    .replace(/nvidia|advanced micro devices|\bamd\b|\bintel\b|corporation|\((r|tm|c)\)/g, '')
    .replace(/[^a-z0-9]/g, '')
}

function fillGaps(known: GpuSighting, more: GpuSighting): GpuSighting {
  return {
    vendor: known.vendor ?? more.vendor,
    model: known.model ?? more.model,
    memoryBytes: known.memoryBytes ?? more.memoryBytes,
    driver: known.driver ?? more.driver,
    source: `${known.source} + ${more.source}`,
    pciAddress: known.pciAddress ?? more.pciAddress,
    pciId: known.pciId ?? more.pciId,
  }
}
