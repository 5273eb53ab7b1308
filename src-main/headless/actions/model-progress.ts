/** How commands that take long speak to whoever waits at a terminal: one line on stderr that is written over, and Ctrl-C. */
import { formatBytes } from '../output.ts'

export interface WorkProgress {
  readonly bytesDone: number
  readonly bytesTotal: number
}

/** A line for each percent, when stderr is a terminal; elsewhere nothing, so that logs stay readable. */
export function createProgressLine(stream: NodeJS.WriteStream = process.stderr) {
  let shown = ''
  return {
    show(what: string, { bytesDone, bytesTotal }: WorkProgress): void {
      const percent = Math.floor((100 * bytesDone) / Math.max(1, bytesTotal))
      const line = `${what}: ${percent} % of ${formatBytes(bytesTotal)}`
      if (!stream.isTTY || line === shown) return
      stream.write(`${shown === '' ? '' : '\r\x1b[K'}${line}`)
      shown = line
    },
    /** Leaves the last line standing, for what is printed next. */
    end(): void {
      if (shown !== '') stream.write('\n')
      shown = ''
    },
  }
}

/** Runs `work` with a signal that Ctrl-C aborts. */
export async function cancellable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const abort = () => controller.abort()
  process.once('SIGINT', abort).once('SIGTERM', abort)
  try {
    return await work(controller.signal)
  } finally {
    process.off('SIGINT', abort).off('SIGTERM', abort)
  }
}
