/** Recordings of other machines, and a machine made of them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Machine } from '#adapters/hardware/machine.ts'

const folder = join(import.meta.dirname, '../../fixtures/hardware')
export const gibibyte = 1024 ** 3
export const mebibyte = 1024 ** 2

export function recorded(name: string): string {
  return readFileSync(join(folder, name), 'utf8')
}

export interface Recording {
  readonly platform?: string
  readonly logicalCores?: number
  /** Command name to what it prints. */
  readonly commands?: Readonly<Record<string, string>>
  /** Path to content; folders are made of the paths. */
  readonly files?: Readonly<Record<string, string>>
  readonly systemInformation?: Partial<Record<keyof Machine['systemInformation'], unknown>>
}

export function machineOf(recording: Recording): Machine {
  const { platform = 'linux', logicalCores = 16, commands = {}, files = {}, systemInformation = {} } = recording
  const answer = (name: keyof Machine['systemInformation']) => async () => systemInformation[name] ?? {}
  return {
    platform,
    logicalCores,
    totalMemoryBytes: 32 * gibibyte,
    freeMemoryBytes: () => 2 * gibibyte,
    run: async (command) => commands[command] ?? null,
    readText: async (path) => files[path] ?? null,
    async list(directory) {
      const inside = Object.keys(files).filter((path) => path.startsWith(`${directory}/`))
      return [...new Set(inside.map((path) => path.slice(directory.length + 1).split('/')[0] ?? ''))]
    },
    volume: async () => ({ totalBytes: 500 * gibibyte, freeBytes: 100 * gibibyte }),
    systemInformation: {
      cpu: answer('cpu'),
      cpuFlags: answer('cpuFlags'),
      mem: answer('mem'),
      graphics: answer('graphics'),
      battery: answer('battery'),
    },
  }
}
