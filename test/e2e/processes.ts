/** Real nodes and command lines as processes of their own, each with its own data folder, all on loopback. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const root = resolve(import.meta.dirname, '../..')
const entry = join(root, 'src-main/headless/main.ts')

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly onLine?: (line: string, child: ChildProcess) => void
}

export interface RunningNode {
  readonly home: string
  readonly process: ChildProcess
  readonly peerId: string
  readonly address: string
  readonly uiUrl: string
  /** Resolves with the exit code once the process has ended. */
  readonly ended: Promise<number | null>
}

export interface Processes {
  /** A fresh data folder, removed at the end. */
  home(): string
  /** Runs one command to its end. */
  quiltbee(home: string, args: readonly string[], options?: CommandOptions): Promise<Finished>
  /** Starts `up` and resolves once its blocks are loaded (or paused, or failed). */
  up(home: string, args: readonly string[]): Promise<RunningNode>
  /** Kills whatever still runs and removes the folders. */
  clean(): Promise<void>
}

export function createProcesses(): Processes {
  const homes: string[] = []
  const children = new Map<ChildProcess, Promise<number | null>>()

  function start(home: string, args: readonly string[]): ChildProcess {
    const child = spawn(process.execPath, [entry, ...args], {
      cwd: root,
      env: { ...process.env, QUILTBEE_HOME: home },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    children.set(child, new Promise((done) => child.once('close', (code) => done(code))))
    return child
  }

  const endOf = (child: ChildProcess) => children.get(child) ?? Promise.resolve(null)

  return {
    home() {
      const home = mkdtempSync(join(tmpdir(), 'quiltbee-e2e-'))
      homes.push(home)
      return home
    },
    async quiltbee(home, args, options = {}) {
      const child = start(home, args)
      const stderr = collect(child.stderr)
      const stdout = collect(child.stdout)
      const { onLine } = options
      if (child.stdout && onLine) createInterface({ input: child.stdout }).on('line', (line) => onLine(line, child))
      const code = await endOf(child)
      return { code, stdout: stdout(), stderr: stderr() }
    },
    async up(home, args) {
      const child = start(home, ['up', '--json', '--ui-port', '0', '--listen', '/ip4/127.0.0.1/tcp/0', ...args])
      const stderr = collect(child.stderr)
      const messages = readMessages(child, stderr)
      const listening = await messages.next('listening')
      await messages.next('hosting')
      return {
        home,
        process: child,
        peerId: String(listening['peerId']),
        address: String((listening['multiaddrs'] as string[])[0]),
        uiUrl: String(listening['uiUrl']),
        ended: endOf(child),
      }
    },
    async clean() {
      for (const child of children.keys()) child.kill('SIGKILL')
      await Promise.all(children.values())
      for (const home of homes) rmSync(home, { recursive: true, force: true })
    },
  }
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = []
  stream?.on('data', (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString('utf8')
}

type Message = Readonly<Record<string, unknown>>

/** The JSON lines of a node; `next` waits for one with that `event`, and fails with what the process said when it ends first. */
function readMessages(child: ChildProcess, stderr: () => string): { next(event: string): Promise<Message> } {
  const seen: Message[] = []
  const lines = child.stdout === null ? null : createInterface({ input: child.stdout })
  lines?.on('line', (line) => seen.push(JSON.parse(line) as Message))
  const find = (event: string) => seen.find((message) => message['event'] === event)
  return {
    next: (event) =>
      new Promise((found, failed) => {
        const look = () => {
          const message = find(event)
          if (message !== undefined) found(message)
        }
        look()
        lines?.on('line', look)
        child.once('close', (code) => failed(new Error(`up ended with ${code} before "${event}": ${stderr()}`)))
      }),
  }
}
