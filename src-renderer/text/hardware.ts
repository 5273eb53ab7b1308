/** The measured machine as rows of a table: what was found, with what is unknown named as that. */
import type { Gpu, HardwareProfile } from '#contracts/api/hardware.ts'
import { displayText, formatBytes, formatPercent, formatPlural, notDetected } from './format.ts'

export type HardwareRow = { readonly name: string; readonly value: string; readonly note: string }

export function hardwareRows(profile: HardwareProfile): readonly HardwareRow[] {
  return [
    cpuRow(profile.cpu),
    memoryRow(profile.memory),
    ...gpuRows(profile.gpus),
    diskRow(profile.disk),
    batteryRow(profile.battery),
  ]
}

function shown(text: string | null): string {
  return text === null || displayText(text) === '' ? notDetected : displayText(text)
}

function cpuRow(cpu: HardwareProfile['cpu']): HardwareRow {
  const physical = cpu.physicalCores === null ? '' : `${formatPlural(cpu.physicalCores, 'core')}, `
  const simd = cpu.simd === null ? `vector instructions ${notDetected}` : simdInWords(cpu.simd)
  return {
    name: 'Processor',
    value: shown(cpu.model),
    note: `${physical}${formatPlural(cpu.logicalCores, 'thread')}, ${simd}`,
  }
}

/** Those that decide how fast a model runs, best first; a processor lists two dozen. */
const telling = ['avx512f', 'avx2', 'fma', 'f16c', 'sve', 'neon', 'asimd']

function simdInWords(simd: readonly string[]): string {
  if (simd.length === 0) return 'no vector instructions'
  const known = telling.filter((name) => simd.includes(name))
  return (known.length > 0 ? known : simd.slice(0, 4)).map((name) => displayText(name)).join(', ')
}

function memoryRow(memory: HardwareProfile['memory']): HardwareRow {
  return {
    name: 'Memory',
    value: formatBytes(memory.totalBytes),
    note: `${formatBytes(memory.availableBytes)} available`,
  }
}

function gpuRows(gpus: readonly Gpu[]): readonly HardwareRow[] {
  if (gpus.length === 0) return [{ name: 'Graphics', value: notDetected, note: 'Quiltbee runs on the processor.' }]
  return gpus.map((gpu, index) => ({
    name: gpus.length === 1 ? 'Graphics' : `Graphics ${index + 1}`,
    value: gpuName(gpu),
    note: `memory ${formatBytes(gpu.memoryBytes)}, driver ${shown(gpu.driver)}, seen by ${shown(gpu.source)}`,
  }))
}

function gpuName(gpu: Gpu): string {
  const model = shown(gpu.model)
  const vendor = gpu.vendor === null ? '' : displayText(gpu.vendor)
  if (vendor === '' || model.toLowerCase().startsWith(vendor.toLowerCase())) return model
  return model === notDetected ? `${vendor}, model ${notDetected}` : `${vendor} ${model}`
}

function diskRow(disk: HardwareProfile['disk']): HardwareRow {
  return {
    name: 'Disk',
    value: formatBytes(disk.totalBytes),
    note: `${formatBytes(disk.freeBytes)} free where the data folder is`,
  }
}

function batteryRow(battery: HardwareProfile['battery']): HardwareRow {
  if (battery === null) return { name: 'Battery', value: notDetected, note: '' }
  const power = battery.onBattery
    ? 'running on battery'
    : battery.charging === true
      ? 'plugged in, charging'
      : 'plugged in'
  return { name: 'Battery', value: formatPercent(battery.percent), note: power }
}
