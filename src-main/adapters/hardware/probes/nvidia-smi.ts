/** NVIDIA's own tool, on Linux and Windows: the truest memory and driver readings there are for its cards. */
import { pciAddressOf } from '../gpus.ts'
import type { CommandOptions, Machine } from '../machine.ts'
import { type GpuSighting, positiveOf, type Sighting, textOf } from '../sighting.ts'

const mebibyte = 1024 ** 2
const query = ['--query-gpu=pci.bus_id,name,memory.total,driver_version', '--format=csv,noheader,nounits']

export async function probeNvidiaSmi(machine: Machine, options: CommandOptions): Promise<Sighting> {
  return { gpus: parseNvidiaSmi(await machine.run('nvidia-smi', query, options)) }
}

/** A line a card: `00000000:01:00.0, NVIDIA GeForce RTX 4090, 24564, 560.35.03`; `[N/A]` for what a card cannot tell. */
export function parseNvidiaSmi(text: string | null): readonly GpuSighting[] {
  return (text ?? '').split('\n').flatMap((line) => {
    const [address, model, memory, driver, ...rest] = line.split(',').map((field) => field.trim())
    const pciAddress = pciAddressOf(address)
    if (driver === undefined || rest.length > 0 || (pciAddress === null && textOf(address) !== null)) return []
    if (textOf(model) === null) return []
    return {
      vendor: 'NVIDIA',
      model: textOf(model),
      memoryBytes: positiveOf(memory, mebibyte),
      driver: textOf(driver),
      source: 'nvidia-smi',
      pciAddress,
      pciId: null,
    }
  })
}
