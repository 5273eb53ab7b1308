/**
 * `npm run dev:swarm`: a toy swarm in one terminal. Three nodes on loopback hold a third of the embedded model each; their
 * lines are told apart by a letter, and each has its own UI. Their data is kept apart from yours, in `test-output/dev-swarm`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { onEnding } from './ending.ts'

const root = resolve(import.meta.dirname, '../..')
const spans = { a: '0:3', b: '3:6', c: '6:8' } as const
const children: ChildProcess[] = []

/** Starts a node; resolves with its first address once it listens. */
function startNode(name: keyof typeof spans, bootstrap: string | null): Promise<string> {
  const child = spawn(
    process.execPath,
    [
      join(root, 'src-main/headless/main.ts'),
      ...[
        'up',
        '--json',
        '--profile',
        name,
        '--blocks',
        spans[name],
        '--ui-port',
        '0',
        '--listen',
        '/ip4/127.0.0.1/tcp/0',
      ],
      ...(bootstrap === null ? [] : ['--bootstrap', bootstrap]),
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, QUILTBEE_HOME: join(root, 'test-output/dev-swarm') },
    },
  )
  children.push(child)
  return new Promise((listening, failed) => {
    child.once('exit', (code) => failed(new Error(`node ${name} ended with exit code ${code}`)))
    createInterface({ input: child.stdout }).on('line', (line) => {
      process.stdout.write(`${name} | ${line}\n`)
      const message: unknown = JSON.parse(line)
      const address = firstAddress(message)
      if (address !== null) listening(address)
    })
  })
}

function firstAddress(message: unknown): string | null {
  if (typeof message !== 'object' || message === null || !('multiaddrs' in message)) return null
  return Array.isArray(message.multiaddrs) ? String(message.multiaddrs[0]) : null
}

onEnding((signal) => {
  for (const child of children) child.kill(signal)
})
const first = await startNode('a', null)
await Promise.all([startNode('b', first), startNode('c', first)])
process.stdout.write(
  `\nTry:  npm run --silent quiltbee -- generate --prompt "My fellow Americans" --bootstrap ${first}\n\n`,
)
