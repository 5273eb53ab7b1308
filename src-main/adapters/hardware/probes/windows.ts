/**
 * Graphics cards and battery through Windows' management interface, and the cards' memory from the registry. One
 * PowerShell for all of it: starting it is most of the cost.
 */
import { pciIdOf, vendorOf } from '../gpus.ts'
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
  textOf,
} from '../sighting.ts'

/** The class of display adapters; each installed driver has a numbered key below it. */
const displayClass = 'HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Class\\{4d36e968-e325-11ce-bfc1-08002be10318}'

const script = `
[Console]::OutputEncoding = [Text.Encoding]::UTF8
$ErrorActionPreference = 'SilentlyContinue'
@{
  video = @(Get-CimInstance Win32_VideoController |
    Select-Object Name, AdapterCompatibility, AdapterRAM, DriverVersion, PNPDeviceID)
  drivers = @(Get-ChildItem '${displayClass}' | ForEach-Object { Get-ItemProperty $_.PSPath } |
    Select-Object DriverDesc, MatchingDeviceId, 'HardwareInformation.qwMemorySize')
  battery = @(Get-CimInstance Win32_Battery | Select-Object BatteryStatus, EstimatedChargeRemaining)
} | ConvertTo-Json -Depth 4 -Compress`

export async function probeWindows(machine: Machine, options: CommandOptions): Promise<Sighting> {
  const args = ['-NoLogo', '-NoProfile', '-NonInteractive', '-Command', script]
  return parseWindows(await machine.run('powershell.exe', args, options))
}

export function parseWindows(text: string | null): Sighting {
  const { video, drivers, battery } = fieldsOf(jsonOf(text))
  return {
    gpus: listOf(video).map((card) => gpuOf(card, listOf(drivers))),
    battery: batteryOf(listOf(battery)),
  }
}

function gpuOf(card: Fields, drivers: readonly Fields[]): GpuSighting {
  const [, vendorId, deviceId] = /VEN_([0-9a-f]{4})&DEV_([0-9a-f]{4})/i.exec(String(card['PNPDeviceID'])) ?? []
  const pciId = pciIdOf(vendorId, deviceId)
  const model = textOf(card['Name'])
  return {
    vendor: vendorOf(pciId, textOf(card['AdapterCompatibility']), model),
    model,
    memoryBytes: memoryOf(drivers.find((driver) => drives(driver, card))) ?? adapterRamOf(card['AdapterRAM']),
    driver: textOf(card['DriverVersion']),
    source: 'Win32_VideoController',
    pciAddress: null,
    pciId,
  }
}

/** The driver's key names the device by the beginning of its id, or by its name. */
function drives(driver: Fields, card: Fields): boolean {
  const matching = textOf(driver['MatchingDeviceId'])?.toLowerCase()
  const device = textOf(card['PNPDeviceID'])?.toLowerCase()
  if (matching !== undefined && device?.startsWith(matching)) return true
  return textOf(driver['DriverDesc']) !== null && textOf(driver['DriverDesc']) === textOf(card['Name'])
}

/** A 64-bit number, which some drivers store as eight bytes, lowest first. */
function memoryOf(driver: Fields | undefined): number | null {
  const size = driver?.['HardwareInformation.qwMemorySize']
  if (!Array.isArray(size)) return positiveOf(size)
  return positiveOf(size.reduceRight((high, byte) => high * 256 + Number(byte), 0))
}

/** AdapterRAM has 32 bits: from just below 4 GiB on it says only "at least that much", which is to say nothing. */
const adapterRamCeiling = 0xfff0_0000

function adapterRamOf(value: unknown): number | null {
  const bytes = positiveOf(value)
  return bytes === null || bytes >= adapterRamCeiling ? null : bytes
}

/** Win32_Battery.BatteryStatus: 1, 4 and 5 run on the battery; 6 to 9 charge; 2 is plugged in, charging or not. */
function batteryOf(batteries: readonly Fields[]): Battery | null {
  const battery = batteries[0]
  if (battery === undefined) return null
  const status = Number(battery['BatteryStatus'])
  const onBattery = [1, 4, 5].includes(status)
  const isCharging = [6, 7, 8, 9].includes(status)
  return {
    onBattery,
    charging: isCharging || (onBattery || status === 3 ? false : null),
    percent: percentOf(battery['EstimatedChargeRemaining']),
  }
}
