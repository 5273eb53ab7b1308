/**
 * Looks at the machine with every probe its system has, all at once. A tool that is missing, hangs or prints nonsense is
 * normal: that probe has seen nothing, and the others go on.
 */
import { dirname } from 'node:path'
import type { HardwareProfile } from '#contracts/api/hardware.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { HardwareProbe } from '#core/ports/hardware-probe.ts'
import { combine } from './combine.ts'
import { type CommandOptions, type Machine, thisMachine } from './machine.ts'
import { probeLinuxCgroup } from './probes/linux-cgroup.ts'
import { probeLinuxDrm } from './probes/linux-drm.ts'
import { probeLinuxPowerSupply } from './probes/linux-power-supply.ts'
import { probeLinuxProc } from './probes/linux-proc.ts'
import { probeMacos } from './probes/macos.ts'
import { probeNvidiaSmi } from './probes/nvidia-smi.ts'
import {
  probeSystemInformationBattery,
  probeSystemInformationCpu,
  probeSystemInformationGraphics,
  probeSystemInformationMemory,
} from './probes/system-information.ts'
import { probeWindows } from './probes/windows.ts'
import type { Sighting } from './sighting.ts'

type Probe = (machine: Machine, options: CommandOptions) => Promise<Sighting>

/** Each probe's and each command's time; they run side by side, so a measurement takes hardly longer. */
export const probeTimeoutMs = 2000

const everywhere: readonly Probe[] = [
  probeSystemInformationCpu,
  probeSystemInformationMemory,
  probeSystemInformationGraphics,
  probeSystemInformationBattery,
]

/** Most specific first, which decides between readings of the same thing. */
const probesByPlatform: Readonly<Record<string, readonly Probe[]>> = {
  linux: [probeNvidiaSmi, probeLinuxDrm, probeLinuxProc, probeLinuxCgroup, probeLinuxPowerSupply, ...everywhere],
  win32: [probeNvidiaSmi, probeWindows, ...everywhere],
  darwin: [probeMacos, ...everywhere],
}

export interface HardwareProbeComponents {
  /** The volume that holds it is the disk of the profile. It need not exist yet. */
  readonly dataDirectory: string
  readonly clock: Clock
  readonly machine?: Machine
  readonly timeoutMs?: number
}

export function createHardwareProbe(components: HardwareProbeComponents): HardwareProbe {
  const { dataDirectory, clock, machine = thisMachine, timeoutMs = probeTimeoutMs } = components
  const probes = probesByPlatform[machine.platform] ?? everywhere

  return {
    async measure({ signal } = {}) {
      signal?.throwIfAborted()
      const ended = new AbortController()
      const stop = signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal])
      const options = { timeoutMs, signal: stop }
      const looking = probes.map((probe) => within(() => probe(machine, options), options, {}))
      const volume = within(() => diskOf(machine, dataDirectory), options, unknownDisk)
      const [disk, ...sightings] = await Promise.all([volume, ...looking])
      ended.abort()
      signal?.throwIfAborted()
      return combine({ ...basicsOf(machine, clock), disk }, sightings)
    },
  }
}

function basicsOf(machine: Machine, clock: Clock) {
  const memory = { totalBytes: machine.totalMemoryBytes, availableBytes: machine.freeMemoryBytes() }
  return { measuredAtMs: clock.now(), platform: machine.platform, logicalCores: machine.logicalCores, memory }
}

const unknownDisk: HardwareProfile['disk'] = { totalBytes: null, freeBytes: null }

/** The data folder's volume, or that of the folder in which it will be made. */
async function diskOf(machine: Machine, directory: string): Promise<HardwareProfile['disk']> {
  try {
    const { totalBytes, freeBytes } = await machine.volume(directory)
    return totalBytes > 0 ? { totalBytes, freeBytes } : unknownDisk
  } catch (error) {
    const parent = dirname(directory)
    if (parent === directory) throw error
    return diskOf(machine, parent)
  }
}

/** What `work` gives, or `otherwise` when it fails, takes too long or is stopped. */
async function within<T>(work: () => Promise<T>, { timeoutMs, signal }: CommandOptions, otherwise: T): Promise<T> {
  let stop = () => {}
  const stopped = new Promise<T>((resolve) => {
    stop = () => resolve(otherwise)
  })
  const timer = setTimeout(stop, timeoutMs)
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([work(), stopped])
  } catch {
    return otherwise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}
