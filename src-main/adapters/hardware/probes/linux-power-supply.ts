/** Batteries and chargers as the Linux kernel lists them (Documentation/ABI/testing/sysfs-class-power). */
import type { Machine } from '../machine.ts'
import { type Battery, percentOf, type Sighting } from '../sighting.ts'

const supplies = '/sys/class/power_supply'

/** A supply's files, trimmed; empty when absent. */
export interface PowerSupply {
  readonly type: string
  readonly scope: string
  readonly online: string
  readonly status: string
  readonly capacity: string
}

export async function probeLinuxPowerSupply(machine: Machine): Promise<Sighting> {
  const names = await machine.list(supplies)
  return { battery: batteryOf(await Promise.all(names.map((name) => readSupply(machine, `${supplies}/${name}`)))) }
}

async function readSupply(machine: Machine, folder: string): Promise<PowerSupply> {
  const [type = '', scope = '', online = '', status = '', capacity = ''] = await Promise.all(
    ['type', 'scope', 'online', 'status', 'capacity'].map(async (name) => {
      return ((await machine.readText(`${folder}/${name}`)) ?? '').trim()
    }),
  )
  return { type, scope, online, status, capacity }
}

/** The scope `Device` marks the batteries of mice and headsets, which do not run the machine. */
export function batteryOf(all: readonly PowerSupply[]): Battery | null {
  const batteries = all.filter(({ type, scope }) => (type === 'Battery' || type === 'UPS') && scope !== 'Device')
  if (batteries.length === 0) return null
  const chargers = all.filter(({ type, online }) => type !== 'Battery' && type !== 'UPS' && /^[01]$/.test(online))
  const isDischarging = batteries.some(({ status }) => status === 'Discharging')
  const charges = batteries.map(({ capacity }) => percentOf(capacity)).filter((percent) => percent !== null)
  return {
    onBattery: chargers.length > 0 ? chargers.every(({ online }) => online === '0') : isDischarging,
    charging: chargingOf(batteries.map(({ status }) => status)),
    percent: charges.length === 0 ? null : Math.round(charges.reduce((sum, each) => sum + each, 0) / charges.length),
  }
}

function chargingOf(statuses: readonly string[]): boolean | null {
  if (statuses.includes('Charging')) return true
  return statuses.every((status) => ['Discharging', 'Full', 'Not charging'].includes(status)) ? false : null
}
