/**
 * A worker as a child process: what breaks in it, native code included, ends the child alone.
 *
 * They speak over a socket pair of their own, because `fork`'s channel takes four times as long (see `frames.ts`). The child
 * sees the pair's end when this process ends, however that happens. It shares no terminal input, no debugger's flags, and
 * leaves the terminal's signals to its parent.
 */
import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { ComputeProcess } from './channel.ts'
import { once } from './once.ts'
import { closedConnection, createSocketChannel } from './socket-channel.ts'
import { startSuspender } from './suspender.ts'

export interface ChildProcessInit {
  /** The module to run: it calls `openParentChannel`. */
  readonly entry: string
  /** What the module finds in `process.argv` from 2 on. */
  readonly args?: readonly string[]
  /** Whether it may be held still, which takes a small process that watches over it (`suspender.ts`). */
  readonly suspendable?: boolean
  /** Told what the child writes to its standard error, which is where native code complains. */
  readonly onErrorOutput?: (text: string) => void
}

/** The child's end of the socket pair. */
export const channelDescriptor = 3
/**
 * What a worker holds is outside of the garbage-collected heap, which has small objects alone. Left to itself that heap grows
 * as large as it likes on a large machine: 70 MB more after a thousand sessions, for no more speed.
 */
const heapFlags = ['--max-semi-space-size=2', '--max-old-space-size=1024']
/** A child that has closed the channel is about to exit by itself, with a code that says why. */
const exitGraceMs = 1_000
const keptErrorOutput = 4_000

export function startChildProcess(init: ChildProcessInit): ComputeProcess {
  const { entry, args = [], suspendable = false, onErrorOutput } = init
  const child = spawn(process.execPath, [...heapFlags, entry, ...args], {
    env: environmentForChild(process.env),
    // 'overlapped' is 'pipe' everywhere but on Windows, where reading and writing at once need it.
    stdio: ['ignore', 'ignore', 'pipe', 'overlapped'],
    windowsHide: true,
  })
  const channel = createSocketChannel(child.stdio[channelDescriptor] as Socket)
  const kill = () => void child.kill('SIGKILL')
  let errorOutput = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errorOutput = (errorOutput + text).slice(-keptErrorOutput)
    onErrorOutput?.(text)
  })
  return {
    pid: child.pid ?? null,
    suspender: suspendable ? startSuspender(child) : null,
    send: channel.send,
    listen({ onPacket, onEnd }) {
      const end = once(onEnd)
      let broken: string | null = null
      let grace: NodeJS.Timeout | undefined
      channel.listen({
        onPacket,
        onEnd(why) {
          if (why !== closedConnection) broken = why
          grace = setTimeout(kill, exitGraceMs)
        },
      })
      child.once('error', (error) => end(`could not be started: ${error.message}`))
      child.once('close', (code, signal) => {
        clearTimeout(grace)
        end(broken ?? describeExit(code, signal, errorOutput))
      })
    },
    kill,
  }
}

/** What is meant for this process alone stays here: a debugger's port, and a channel that the child does not have. */
function environmentForChild(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const {
    NODE_OPTIONS: _options,
    NODE_CHANNEL_FD: _channel,
    NODE_INSPECT_RESUME_ON_START: _wait,
    ...rest
  } = environment
  return { ...allocator, ...rest }
}

/**
 * glibc's: an arena for each of a runtime's threads keeps what they free apart from each other. A fixed threshold for memory of
 * its own (MALLOC_MMAP_THRESHOLD_) was tried: 1 MB saved a tenth of the weights and made a prefill a third longer.
 */
const allocator = { MALLOC_ARENA_MAX: '2' }

/** A line that says what went wrong, as Node, V8 and the C++ libraries write them. */
const complaint = /^(Uncaught )?\w*Error\b|^\w+ \[ERR_|\bfatal\b|^terminate called|assertion/i

/** `ended by SIGSEGV`, `ended with code 1: Error: no such file`. */
function describeExit(code: number | null, signal: NodeJS.Signals | null, errorOutput: string): string {
  const how = signal === null ? `ended with code ${code}` : `ended by ${signal}`
  const said = errorOutput.split('\n').find((line) => complaint.test(line))
  return said === undefined ? how : `${how}: ${said.trim().slice(0, 300)}`
}
