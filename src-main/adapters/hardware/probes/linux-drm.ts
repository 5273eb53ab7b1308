/** Graphics cards as the Linux kernel lists them. Needs no tool; knows the devices' ids, but not their names. */
import { pciAddressOf, pciIdOf, vendorOf } from '../gpus.ts'
import type { Machine } from '../machine.ts'
import { type GpuSighting, positiveOf, type Sighting, textOf } from '../sighting.ts'

const cards = '/sys/class/drm'

/** A card's files under `device/`, as read. */
export interface DrmFiles {
  readonly vendor: string | null
  readonly device: string | null
  readonly uevent: string | null
  /** Only amdgpu has it: the card's own memory, or what the firmware has set aside for an integrated one. */
  readonly memory: string | null
}

export async function probeLinuxDrm(machine: Machine): Promise<Sighting> {
  const names = (await machine.list(cards)).filter((name) => /^card\d+$/.test(name))
  const files = await Promise.all(names.map((name) => readFiles(machine, `${cards}/${name}/device`)))
  return { gpus: files.flatMap((card) => parseDrmFiles(card) ?? []) }
}

async function readFiles(machine: Machine, folder: string): Promise<DrmFiles> {
  const [vendor = null, device = null, uevent = null, memory = null] = await Promise.all(
    ['vendor', 'device', 'uevent', 'mem_info_vram_total'].map((name) => machine.readText(`${folder}/${name}`)),
  )
  return { vendor, device, uevent, memory }
}

/** Null for a device without a PCI id: display controllers of small boards, which do not compute. */
export function parseDrmFiles({ vendor, device, uevent, memory }: DrmFiles): GpuSighting | null {
  const pciId = pciIdOf(vendor, device)
  if (pciId === null) return null
  return {
    vendor: vendorOf(pciId),
    model: null,
    memoryBytes: positiveOf(memory),
    driver: textOf(/^DRIVER=(.*)$/m.exec(uevent ?? '')?.[1]),
    source: 'sysfs',
    pciAddress: pciAddressOf(/^PCI_SLOT_NAME=(.*)$/m.exec(uevent ?? '')?.[1]),
    pciId,
  }
}
