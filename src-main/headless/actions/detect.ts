import { createDataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createHardwareProbe } from '#adapters/hardware/hardware-probe.ts'
import type { HardwareProfile } from '#contracts/api/hardware.ts'
import { formatBytes, formatTable, print, printJson } from '../output.ts'

export async function detect(options: { profile?: string; json?: true }): Promise<void> {
  const directory = dataDirectory(options)
  createDataDirectory(directory)
  const probe = createHardwareProbe({ dataDirectory: directory.home, clock: systemClock })
  const profile = await probe.measure()
  if (options.json) printJson(profile)
  else print(describeHardware(profile))
}

/** One line a part; "not detected" for what could not be seen. */
function describeHardware(profile: HardwareProfile): string {
  const { cpu, memory, disk, battery } = profile
  const unknown = 'not detected'
  const rows = [
    ['processor', `${cpu.model ?? unknown}, ${cpu.physicalCores ?? unknown} cores, ${cpu.logicalCores} threads`],
    ['SIMD', cpu.simd === null ? unknown : cpu.simd.join(' ')],
    ['memory', `${formatBytes(memory.totalBytes)}, ${formatBytes(memory.availableBytes)} available`],
    ...(profile.gpus.length === 0 ? [['GPU', unknown]] : profile.gpus.map(gpuRow)),
    ['disk', `${formatBytes(disk.freeBytes)} free of ${formatBytes(disk.totalBytes)}`],
    ['battery', battery === null ? unknown : batteryText(battery)],
  ]
  return formatTable(rows)
}

function gpuRow(gpu: HardwareProfile['gpus'][number]): string[] {
  const name = [gpu.vendor, gpu.model].filter((part) => part !== null).join(' ') || 'unnamed'
  return [
    'GPU',
    `${name}, memory ${formatBytes(gpu.memoryBytes)}, driver ${gpu.driver ?? 'not detected'} (${gpu.source})`,
  ]
}

function batteryText(battery: NonNullable<HardwareProfile['battery']>): string {
  const level = battery.percent === null ? 'charge not detected' : `${battery.percent} %`
  return `${level}, ${battery.onBattery ? 'on battery' : 'plugged in'}`
}
