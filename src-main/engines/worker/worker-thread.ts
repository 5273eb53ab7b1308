/**
 * A worker as a thread of this process, for shells that cannot start another Node (the packed desktop app cannot: its
 * program refuses to run as a bare Node). An error in JavaScript ends the thread alone; one in native code ends the process.
 */
import { Worker } from 'node:worker_threads'
import type { ComputeProcess } from './channel.ts'
import { once } from './once.ts'
import { postPacket } from './port-channel.ts'

export interface WorkerThreadInit {
  /** The module to run: it calls `openParentChannel`. */
  readonly entry: string
  /** What the module finds in `process.argv` from 2 on. */
  readonly args?: readonly string[]
  /** Told what the thread writes to its standard error. */
  readonly onErrorOutput?: (text: string) => void
}

export function startWorkerThread({ entry, args = [], onErrorOutput }: WorkerThreadInit): ComputeProcess {
  const worker = new Worker(entry, {
    name: 'compute',
    argv: [...args],
    execArgv: [],
    stdout: true,
    stderr: true,
  })
  worker.stdout.resume()
  worker.stderr.setEncoding('utf8').on('data', (text: string) => onErrorOutput?.(text))
  return {
    pid: null,
    suspender: null,
    send: (packet) => postPacket(worker, packet),
    listen({ onPacket, onEnd }) {
      const end = once(onEnd)
      worker.on('message', onPacket)
      worker.once('messageerror', () => {
        end('sent what cannot be read')
        void worker.terminate()
      })
      worker.once('error', (error) => end(error instanceof Error ? error.message : String(error)))
      worker.once('exit', (code) => end(`ended with code ${code}`))
    },
    kill: () => void worker.terminate(),
  }
}
