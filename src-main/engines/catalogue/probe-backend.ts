/** Whether a backend works on this machine, found out in a process of its own and within a time limit. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { type ProbeReport, probeReportSchema } from './probe-report.ts'

export interface ProbeOptions {
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
  /** The module that prints the report. */
  readonly entry?: string
}

/** Building shaders for a first product takes a software driver a few seconds. */
const usualTimeoutMs = 30_000
const usualEntry = join(import.meta.dirname, 'probe-process.ts')
/** A report is a line. */
const maximumOutput = 16_384

/** Rejects only when aborted. */
export async function probeBackend(backend: string, options: ProbeOptions = {}): Promise<ProbeReport> {
  const { signal, timeoutMs = usualTimeoutMs, entry = usualEntry } = options
  signal?.throwIfAborted()
  // The packed app's program cannot run as a bare Node: it would start the app again.
  if (process.versions['electron'] !== undefined) return { kind: 'untried', detail: 'no process to try it in' }
  const ending = await runToEnd([entry, backend], timeoutMs, signal)
  signal?.throwIfAborted()
  return readEnding(ending, timeoutMs)
}

interface Ending {
  readonly output: string
  readonly how: string
  readonly timedOut: boolean
}

function runToEnd(args: readonly string[], timeoutMs: number, signal: AbortSignal | undefined): Promise<Ending> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'], windowsHide: true })
    let output = ''
    let timedOut = false
    const kill = () => void child.kill('SIGKILL')
    const timer = setTimeout(() => {
      timedOut = true
      kill()
    }, timeoutMs)
    signal?.addEventListener('abort', kill, { once: true })
    const end = (how: string) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', kill)
      resolve({ output, how, timedOut })
    }
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (output.length > maximumOutput) kill()
    })
    child.once('error', (error) => end(error.message))
    child.once('close', (code, by) => end(by === null ? `ended with code ${code}` : `ended by ${by}`))
  })
}

/** A driver may print, too: the report is the last line. */
function readEnding({ output, how, timedOut }: Ending, timeoutMs: number): ProbeReport {
  if (timedOut) return { kind: 'timed-out', detail: `no answer within ${timeoutMs} ms` }
  const report = probeReportSchema.safeParse(parseLine(output.trimEnd().split('\n').at(-1) ?? ''))
  return report.success ? report.data : { kind: 'crashed', detail: how }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}
