/**
 * What the swarm costs: decode speed of the embedded model in one process and through three hosts on loopback, run in turn
 * on the same prompt, and the time from `npm start` on a new machine to the first token. Everything here is a process of its
 * own, as a user would start it.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { dataDirectory } from '#adapters/files/data-directory.ts'
import type { GenerateEvent } from '#contracts/api/chat.ts'
import { connectToRunningNode, type NodeConnection } from '#headless/node-client.ts'
import { createProcesses } from '#test/e2e/processes.ts'
import { median, progress, report } from './report.ts'

const root = resolve(import.meta.dirname, '../..')
const repetitions = 7
const tokens = 200
const request = [
  'generate',
  '--events',
  '--temperature',
  '0',
  '--max-tokens',
  String(tokens),
  '--prompt',
  'My fellow Americans',
]

type End = Extract<GenerateEvent, { type: 'end' }>

/** Tokens a second of the steps after the first token, as the generation itself measured them. */
function rateOf(stdout: string): number {
  const last = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as End
  if (last.type !== 'end' || last.tokensPerSecond === null)
    throw new Error(`the generation did not end well: ${stdout}`)
  return last.tokensPerSecond
}

async function measureDecode(): Promise<{ local: number; swarm: number; ratio: number }> {
  const processes = createProcesses()
  try {
    const first = await processes.up(processes.home(), ['--blocks', '0:3'])
    for (const span of ['3:6', '6:8'])
      await processes.up(processes.home(), ['--blocks', span, '--bootstrap', first.address])
    const client = processes.home()
    const local: number[] = []
    const swarm: number[] = []
    for (let index = -1; index < repetitions; index++) {
      const alone = rateOf((await processes.quiltbee(client, [...request, '--local'])).stdout)
      const through = rateOf((await processes.quiltbee(client, [...request, '--bootstrap', first.address])).stdout)
      progress(
        `${index < 0 ? 'warm-up' : index}: one process ${alone.toFixed(0)}, three hops ${through.toFixed(0)} tokens/s`,
      )
      if (index < 0) continue
      local.push(alone)
      swarm.push(through)
    }
    return {
      local: median(local),
      swarm: median(swarm),
      ratio: median(swarm.map((rate, index) => rate / (local[index] ?? 1))),
    }
  } finally {
    await processes.clean()
  }
}

/** From `npm start` with nothing configured to the first text, over the API that the UI uses. */
async function measureStart(): Promise<number> {
  const home = mkdtempSync(join(tmpdir(), 'quiltbee-bench-'))
  const startedAtMs = performance.now()
  const args = ['start', '--silent', '--', '--headless', '--ui-port', '0', '--listen', '/ip4/127.0.0.1/tcp/0']
  const child = spawn('npm', args, { cwd: root, env: { ...process.env, QUILTBEE_HOME: home }, stdio: 'ignore' })
  const ended = new Promise((done) => child.once('close', done))
  const stop = new AbortController()
  void ended.then(() => stop.abort(new Error('npm start ended before the first token')))
  try {
    const connection = await untilConnected(home, stop.signal)
    await firstText(connection, stop.signal)
    connection.close()
    return (performance.now() - startedAtMs) / 1000
  } finally {
    child.kill('SIGTERM')
    await ended
    rmSync(home, { recursive: true, force: true })
  }
}

async function untilConnected(home: string, signal: AbortSignal): Promise<NodeConnection> {
  const directory = dataDirectory({ environment: { QUILTBEE_HOME: home } })
  for (;;) {
    signal.throwIfAborted()
    const connection = await connectToRunningNode(directory)
    if (connection !== null) return connection
    await new Promise((soon) => setTimeout(soon, 10))
  }
}

async function firstText({ client }: NodeConnection, signal: AbortSignal): Promise<void> {
  for await (const status of await client.node.watch(undefined, { signal }))
    if (status.hosting.kind === 'hosting') break
  for await (const event of await client.chat.generate({ prompt: 'My fellow Americans', maxTokens: 1 })) {
    if (event.type === 'text') return
    if (event.type === 'error') throw new Error(event.code)
  }
}

const decode = await measureDecode()
const starts: number[] = []
for (let index = 0; index < 5; index++) {
  starts.push(await measureStart())
  progress(`start to first token: ${starts.at(-1)?.toFixed(2)} s`)
}
report('swarm', {
  decode_one_process_tokens_per_s: decode.local,
  decode_3hops_tokens_per_s: decode.swarm,
  loopback_3hops_ratio: decode.ratio,
  start_to_first_token_s: median(starts),
})
