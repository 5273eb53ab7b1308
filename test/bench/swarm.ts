/**
 * What the swarm costs: decode speed of the embedded model in one process and through three hosts on loopback (each a process
 * of its own), run in turn on the same prompt by one client that is warm, and the time from `npm start` on an empty data
 * folder to the first token.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createDataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { embeddedModelName } from '#assembly/model-store.ts'
import { openLocalGenerator, openSwarmGenerator, type StandaloneGenerator } from '#assembly/standalone-generator.ts'
import { type GenerateRequest, generateRequestSchema } from '#contracts/api/chat.ts'
import { connectToRunningNode, type NodeConnection } from '#headless/node-client.ts'
import { createProcesses } from '#test/e2e/processes.ts'
import { median, progress, report } from './report.ts'

const root = resolve(import.meta.dirname, '../..')
const repetitions = 15
const warmUps = 5
const prompt = 'My fellow Americans'
const request: GenerateRequest = generateRequestSchema.parse({ prompt, maxTokens: 200 })

/** Tokens a second of the steps after the first token, as the generation itself measured them. */
async function decodeRate(generator: StandaloneGenerator): Promise<number> {
  for await (const event of generator.generate(request)) {
    if (event.type === 'error') throw new Error(`the generation failed: ${event.code}`)
    if (event.type === 'end' && event.tokensPerSecond !== null) return event.tokensPerSecond
  }
  throw new Error('the generation did not end well')
}

async function measureDecode(): Promise<{ local: number; swarm: number; ratio: number }> {
  const processes = createProcesses()
  try {
    const first = await processes.up(processes.home(), ['--blocks', '0:3'])
    for (const span of ['3:6', '6:8'])
      await processes.up(processes.home(), ['--blocks', span, '--bootstrap', first.address])
    const directory = dataDirectory({ environment: { QUILTBEE_HOME: processes.home() } })
    createDataDirectory(directory)
    const init = { directory, model: embeddedModelName }
    await using local = await openLocalGenerator({ ...init, signal: new AbortController().signal })
    await using swarm = await openSwarmGenerator({ ...init, bootstrap: [first.address] })
    const rates: { readonly local: number; readonly swarm: number }[] = []
    for (let index = -warmUps; index < repetitions; index++) {
      const pair = { local: await decodeRate(local), swarm: await decodeRate(swarm) }
      if (index < 0) continue
      rates.push(pair)
      progress(`${index}: one process ${pair.local.toFixed(0)}, three hops ${pair.swarm.toFixed(0)} tokens/s`)
    }
    return {
      local: median(rates.map((pair) => pair.local)),
      swarm: median(rates.map((pair) => pair.swarm)),
      ratio: median(rates.map((pair) => pair.swarm / pair.local)),
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
  for await (const event of await client.chat.generate({ prompt, maxTokens: 1 })) {
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
