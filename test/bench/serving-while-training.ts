/**
 * What a training run costs those who are served: the time from token to token of a session on a node's blocks, while the
 * node trains in the background and while its run is paused, in turn. Between sessions the run gets on: that is shown, too.
 *
 *     node test/bench/serving-while-training.ts [--rounds 10]
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createDataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { embeddedModelName } from '#assembly/model-store.ts'
import { openSwarmGenerator, type StandaloneGenerator } from '#assembly/standalone-generator.ts'
import { generateRequestSchema } from '#contracts/api/chat.ts'
import type { RunAction } from '#contracts/api/training.ts'
import { createRandom } from '#core/numerics/random.ts'
import { connectToRunningNode, type NodeClient } from '#headless/node-client.ts'
import { createProcesses } from '#test/e2e/processes.ts'
import { median, progress, report } from './report.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' } } })
const rounds = Number(values.rounds)
const request = generateRequestSchema.parse({ prompt: 'My fellow Americans', maxTokens: 200 })
/** Training between two sessions. */
const breatherMs = 1_500

interface Session {
  readonly firstTokenMs: number
  /** From each token to the next. */
  readonly gapsMs: readonly number[]
}

async function serve(generator: StandaloneGenerator): Promise<Session> {
  let lastAtMs = performance.now()
  const gapsMs: number[] = []
  for await (const event of generator.generate(request)) {
    if (event.type === 'error') throw new Error(`the generation failed: ${event.code}`)
    if (event.type !== 'text') continue
    const nowMs = performance.now()
    gapsMs.push(nowMs - lastAtMs)
    lastAtMs = nowMs
  }
  const [firstTokenMs = Number.NaN, ...rest] = gapsMs
  return { firstTokenMs, gapsMs: rest }
}

/** Long enough to outlast the measurement; its rate is given, so that it trains soon. */
async function startRun(client: NodeClient, home: string): Promise<string> {
  const file = join(home, 'words.txt')
  const random = createRandom(1)
  const word = () => Math.floor(random() * 5_000).toString(36)
  writeFileSync(file, Array.from({ length: 400 }, () => Array.from({ length: 60 }, word).join(' ')).join('\n\n'))
  const { id } = await client.training.start({
    data: [{ kind: 'path', path: file }],
    title: 'In the background',
    mask: { fisher: { kind: 'empirical', examples: 16, trialSteps: 0 } },
    hyperParameters: { steps: 1_000_000, learningRate: 1e-4 },
    patience: null,
  })
  return id
}

async function untilTraining(client: NodeClient, id: string): Promise<void> {
  for (;;) {
    const { state, progress: done } = await client.training.show({ id })
    if (state.kind === 'failed') throw new Error(`the run failed: ${state.code}`)
    if (state.kind === 'running' && state.phase === 'training' && (done?.step ?? 0) > 0) return
    await sleep(100)
  }
}

const stepOf = async (client: NodeClient, id: string) => (await client.training.show({ id })).progress?.step ?? 0

function percentile(all: readonly number[], share: number): number {
  const sorted = [...all].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

const processes = createProcesses()
try {
  const host = await processes.up(processes.home(), [])
  const connection = await connectToRunningNode(dataDirectory({ environment: { QUILTBEE_HOME: host.home } }))
  if (connection === null) throw new Error('the node does not answer')
  const { client } = connection
  const own = dataDirectory({ environment: { QUILTBEE_HOME: processes.home() } })
  createDataDirectory(own)
  await using generator = await openSwarmGenerator({
    ...{ directory: own, model: embeddedModelName, bootstrap: [host.address] },
  })
  const id = await startRun(client, host.home)
  const act = (action: RunAction) => client.training.act({ id, action })
  await untilTraining(client, id)
  for (let warmUp = 0; warmUp < 3; warmUp++) await serve(generator)

  const without: Session[] = []
  const beside: Session[] = []
  let [stepsDuring, stepsBetween] = [0, 0]
  for (let round = 0; round < rounds; round++) {
    await act('pause')
    await sleep(breatherMs)
    without.push(await serve(generator))
    await act('resume')
    await untilTraining(client, id)
    const before = await stepOf(client, id)
    await sleep(breatherMs)
    const began = await stepOf(client, id)
    beside.push(await serve(generator))
    stepsBetween += began - before
    stepsDuring += (await stepOf(client, id)) - began
    const [a, b] = [without, beside].map((sessions) => percentile(sessions.at(-1)?.gapsMs ?? [], 0.95))
    progress(`${round}: p95 ${a?.toFixed(2)} ms alone, ${b?.toFixed(2)} ms beside training`)
  }
  connection.close()
  const gaps = (sessions: readonly Session[]) => sessions.flatMap(({ gapsMs }) => gapsMs)
  const first = (sessions: readonly Session[]) => median(sessions.map(({ firstTokenMs }) => firstTokenMs))
  const [p95Without, p95Beside] = [percentile(gaps(without), 0.95), percentile(gaps(beside), 0.95)]
  report('serving-while-training', {
    tokens: gaps(beside).length,
    p50_ms_alone: percentile(gaps(without), 0.5),
    p50_ms_beside_training: percentile(gaps(beside), 0.5),
    p95_ms_alone: p95Without,
    p95_ms_beside_training: p95Beside,
    p95_ratio: p95Beside / p95Without,
    first_token_ms_alone: first(without),
    first_token_ms_beside_training: first(beside),
    steps_between_sessions: stepsBetween,
    steps_during_sessions: stepsDuring,
  })
} finally {
  await processes.clean()
}
