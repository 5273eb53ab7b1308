/** What the probes ask of the operating system. Tests answer with recordings of other machines. */
import { execFile } from 'node:child_process'
import { readdir, readFile, statfs } from 'node:fs/promises'
import { availableParallelism, freemem, totalmem } from 'node:os'
import systeminformation from 'systeminformation'

export interface Machine {
  readonly platform: string
  readonly logicalCores: number
  readonly totalMemoryBytes: number
  freeMemoryBytes(): number
  /** What the command prints; null when there is no such command, it fails, or it takes too long. Never throws. */
  run(command: string, args: readonly string[], options: CommandOptions): Promise<string | null>
  /** Null when the file cannot be read. Never throws. */
  readText(path: string): Promise<string | null>
  /** Names in a folder; none when it cannot be read. Never throws. */
  list(directory: string): Promise<readonly string[]>
  /** Throws when there is no such folder. */
  volume(directory: string): Promise<{ totalBytes: number; freeBytes: number }>
  /** The npm package, each answer unchecked. */
  readonly systemInformation: Readonly<
    Record<'cpu' | 'cpuFlags' | 'mem' | 'graphics' | 'battery', () => Promise<unknown>>
  >
}

export interface CommandOptions {
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** Far more than any of the commands print. */
const maximumOutputBytes = 1024 * 1024

export const thisMachine: Machine = {
  platform: process.platform,
  logicalCores: availableParallelism(),
  totalMemoryBytes: totalmem(),
  freeMemoryBytes: freemem,
  run: runCommand,
  readText: (path) => readFile(path, 'utf8').catch(() => null),
  list: (directory) => readdir(directory).catch(() => []),
  async volume(directory) {
    const { bsize, blocks, bavail } = await statfs(directory)
    return { totalBytes: bsize * blocks, freeBytes: bsize * bavail }
  },
  systemInformation: {
    cpu: () => systeminformation.cpu(),
    cpuFlags: () => systeminformation.cpuFlags(),
    mem: () => systeminformation.mem(),
    graphics: () => systeminformation.graphics(),
    battery: () => systeminformation.battery(),
  },
}

function runCommand(command: string, args: readonly string[], { timeoutMs, signal }: CommandOptions) {
  const options = {
    timeout: timeoutMs,
    signal,
    maxBuffer: maximumOutputBytes,
    windowsHide: true,
    killSignal: 'SIGKILL',
  } as const
  return new Promise<string | null>((resolve) => {
    execFile(command, [...args], options, (error, stdout) => resolve(error === null ? stdout : null))
  })
}
