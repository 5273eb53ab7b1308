/**
 * What the product does with its compute workers, as processes: what they hold, how soon they let go, and what becomes of
 * sessions, nodes and texts when one is killed.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createDataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { type AssembledCompute, assembleCompute, usualBackend } from '#assembly/compute.ts'
import { openModelStore } from '#assembly/model-store.ts'
import type { GenerateEvent } from '#contracts/api/chat.ts'
import type { LedgerList } from '#contracts/api/ledger.ts'
import type { HostingState } from '#contracts/api/node.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { connectToRunningNode, type NodeConnection } from '#headless/node-client.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'
import { createProcesses, type Processes, type RunningNode } from './processes.ts'
import { writeRandomGguf } from './random-gguf.ts'
import { isAlive, seesProcesses, workersOf } from './worker-processes.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const greedy = ['generate', '--prompt', 'Once upon a time', '--temperature', '0']

let processes: Processes = createProcesses()
afterEach(async () => {
  await processes.clean()
  processes = createProcesses()
})

describe('a compute worker', () => {
  test.skipIf(!seesProcesses)('holds no more after a thousand sessions, and neither does its node', () => {
    const program = resolve(import.meta.dirname, 'session-cycles.ts')
    const environment = { ...process.env, QUILTBEE_HOME: processes.home() }
    const flags = ['--expose-gc', '--max-semi-space-size=1']
    const ran = spawnSync(process.execPath, [...flags, program], { env: environment, encoding: 'utf8' })
    expect(ran).toMatchObject({ status: 0, stderr: '' })
    const { before, after } = JSON.parse(ran.stdout)
    expect(before.worker).toBeGreaterThan(50e6)
    expect(after.worker / before.worker).toBeLessThan(1.05)
    expect(after.node / before.node).toBeLessThan(1.05)
  })
})

describe('a model that takes seconds to read a prompt', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quiltbee-gguf-'))
  const directory = dataDirectory({ environment: { QUILTBEE_HOME: folder } })
  let compute: AssembledCompute
  let model: ModelHandle

  beforeAll(async () => {
    const file = join(folder, 'wide.gguf')
    const heads = { headCount: 16, kvHeadCount: 4 }
    const shape = { hiddenSize: 1024, intermediateSize: 2816, blockCount: 4, contextLength: 4096, ...heads }
    await writeRandomGguf(file, shape, 'Q8_0')
    createDataDirectory(directory)
    const store = openModelStore(directory)
    model = await store.open((await store.import(file)).name)
    compute = assembleCompute({ directory, logger: quiet })
  })
  afterAll(async () => {
    await compute[Symbol.asyncDispose]()
    await model.close()
    rmSync(folder, { recursive: true })
  })

  test('lets go of it within 200 ms, and the session goes on as if it had never been asked', async () => {
    const engine = await compute.engine(usualBackend)
    const runner = await engine.loadSpan(model, { start: 0, end: 4 }, { threads: 1, format: 'int8' })
    const untouched = runner.openSession({ maxLength: 4096 })
    const session = runner.openSession({ maxLength: 4096 })
    await untouched.forward(rows(20, 1))
    await session.forward(rows(20, 1))
    const pieceMs = await took(() => runner.openSession({ maxLength: 4096 }).forward(rows(256, 2)))
    expect((pieceMs * 4_000) / 256).toBeGreaterThan(1_000)

    const stopping = new AbortController()
    const stopped = session.forward(rows(4_000, 2), { signal: stopping.signal }).catch((error: unknown) => error)
    // The worker is asked after it was given the prompt, so it is at the prompt when it answers.
    expect(await compute.residentBytes()).toBeGreaterThan(0)
    const rejectedMs = await took(async () => {
      stopping.abort()
      expect(await stopped).toMatchObject({ name: 'AbortError' })
    })
    expect(rejectedMs).toBeLessThan(200)
    expect(session.length).toBe(20)
    // It has not only stopped listening: it is free for others after the piece it was at.
    expect(await took(() => untouched.forward(rows(1, 3)))).toBeLessThan(4 * pieceMs + 200)
    const next = await session.forward(rows(1, 3))
    untouched.truncate(20)
    expect(relativeError(next, await untouched.forward(rows(1, 3)))).toBe(0)
    await runner.dispose()
  })

  /** (count, hidden) */
  function rows(count: number, seed: number): Float32Array {
    return Float32Array.from({ length: count * 1024 }, (_, at) => Math.sin(at * seed))
  }
})

async function took(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await work()
  return performance.now() - startedMs
}

describe('weights in eight bits', () => {
  test('give the same text from two hosts as from one machine alone', async () => {
    const int8 = [...greedy, '--max-tokens', '64', '--weights', 'int8']
    const alone = await processes.quiltbee(processes.home(), [...int8, '--local'])
    expect(alone).toMatchObject({ code: 0, stderr: '' })
    const front = await processes.up(processes.home(), ['--blocks', '0:4', '--weights', 'int8'])
    const known = ['--bootstrap', front.address]
    await processes.up(processes.home(), ['--blocks', '4:8', '--weights', 'int8', ...known])
    const together = await processes.quiltbee(processes.home(), [...int8, ...known])
    expect(alone.stdout.length).toBeGreaterThan(100)
    expect(together).toEqual(alone)
  })
})

describe('a GGUF file', () => {
  test('is imported and generated from in eight and four bits, and its weights are prepared once', async () => {
    const home = processes.home()
    const file = join(home, 'small.gguf')
    const heads = { headCount: 4, kvHeadCount: 2 }
    const shape = { hiddenSize: 256, intermediateSize: 704, blockCount: 3, contextLength: 256, ...heads }
    await writeRandomGguf(file, shape, 'Q8_0')
    const imported = await processes.quiltbee(home, ['model', 'import', file, '--json'])
    expect(imported).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(imported.stdout)).toMatchObject({ name: 'small', config: { blockCount: 3, hiddenSize: 256 } })

    const generate = [...greedy, '--model', 'small', '--local', '--max-tokens', '16', '--weights']
    const int8 = await processes.quiltbee(home, [...generate, 'int8'])
    expect(int8).toMatchObject({ code: 0, stderr: '' })
    expect(int8.stdout.trim()).not.toBe('')
    const prepared = preparedIn(home)
    expect(prepared).toHaveLength(4)

    expect(await processes.quiltbee(home, [...generate, 'int8'])).toEqual(int8)
    expect(preparedIn(home)).toEqual(prepared)
    const int4 = await processes.quiltbee(home, [...generate, 'int4'])
    expect(int4).toMatchObject({ code: 0, stderr: '' })
    expect(int4.stdout.trim()).not.toBe('')
    // The head stays in eight bits, so only the blocks are new.
    expect(preparedIn(home)).toHaveLength(7)
    expect(preparedIn(home)).toEqual(expect.arrayContaining(prepared))

    const cache = JSON.parse((await processes.quiltbee(home, ['model', 'cache', '--json'])).stdout)
    expect(cache).toMatchObject({ files: 7, bytes: preparedIn(home).reduce((sum, { bytes }) => sum + bytes, 0) })
  })

  /** Files, each with what changes when it is written anew. */
  function preparedIn(home: string) {
    const folder = join(home, 'prepared-weights')
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => {
        const { ino, size, birthtimeMs } = statSync(path)
        return { path, ino, bytes: size, birthtimeMs }
      })
  }
})

describe.skipIf(!seesProcesses)('a node whose compute worker is killed', () => {
  const connections: NodeConnection[] = []
  afterEach(() => {
    for (const { close } of connections.splice(0)) close()
  })

  /** Every state of hosting from now on. */
  async function watchHosting({ home }: RunningNode): Promise<{ states: HostingState[] }> {
    const directory = dataDirectory({ environment: { QUILTBEE_HOME: home } })
    const connection = await connectToRunningNode(directory)
    if (connection === null) throw new Error('the node does not run')
    connections.push(connection)
    const states: HostingState[] = []
    const statuses = await connection.client.node.watch()
    void (async () => {
      for await (const { hosting } of statuses) states.push(hosting)
    })().catch(() => undefined)
    return { states }
  }

  function killWorker({ process: { pid = 0 } }: RunningNode): number {
    const [worker = 0] = workersOf(pid)
    expect(worker).toBeGreaterThan(0)
    process.kill(worker, 'SIGKILL')
    return worker
  }

  async function ledgerOf(home: string): Promise<LedgerList['rows']> {
    expect((await processes.quiltbee(home, ['ledger', 'verify'])).code).toBe(0)
    return (JSON.parse((await processes.quiltbee(home, ['ledger', 'list', '--json'])).stdout) as LedgerList).rows
  }

  const kindsOf = (states: readonly HostingState[]) => states.map(({ kind }) => kind)
  /** What followed on loading; null before. */
  function endOfReload(states: readonly HostingState[]): string | null {
    const kinds = kindsOf(states)
    return kinds.includes('loading') ? (kinds.at(-1) ?? null) : null
  }
  const textOf = (events: readonly GenerateEvent[]) =>
    events.map((event) => (event.type === 'text' ? event.text : '')).join('')

  test('loads its blocks again, and a peer’s text goes on where it was', async () => {
    const host = await processes.up(processes.home(), [])
    const client = processes.home()
    const request = [...greedy, '--max-tokens', '128', '--bootstrap', host.address]
    const expected = await processes.quiltbee(processes.home(), request)
    expect(expected.code).toBe(0)

    const { states } = await watchHosting(host)
    const events: GenerateEvent[] = []
    let killed = 0
    const made = await processes.quiltbee(client, [...request, '--events'], {
      onLine: (line) => {
        const event = JSON.parse(line) as GenerateEvent
        events.push(event)
        if (event.type === 'text' && event.tokens === 10) killed = killWorker(host)
      },
    })
    expect(isAlive(killed)).toBe(false)
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(`${textOf(events)}\n`).toBe(expected.stdout)
    expect(events).toContainEqual(expect.objectContaining({ type: 'route', lostPeerId: host.peerId }))

    expect(host.process.exitCode).toBeNull()
    expect(states).toContainEqual(expect.objectContaining({ kind: 'loading', again: true }))
    await expect.poll(() => kindsOf(states).at(-1)).toBe('hosting')
    expect((await ledgerOf(client)).map(({ outcome }) => outcome).sort()).toEqual(['completed', 'interrupted'])
    const served = (await ledgerOf(host.home)).map(({ outcome }) => outcome)
    expect(served).toHaveLength(3)
    expect(served.filter((outcome) => outcome !== 'completed')).toHaveLength(1)
    const after = await processes.quiltbee(processes.home(), request)
    expect(after).toEqual(expected)
  })

  test('ends its own text by that name, and makes the next one', async () => {
    const host = await processes.up(processes.home(), [])
    const request = [...greedy, '--events', '--max-tokens', '64']
    const events: GenerateEvent[] = []
    const cut = await processes.quiltbee(host.home, [...request, '--max-tokens', '200'], {
      onLine: (line) => {
        const event = JSON.parse(line) as GenerateEvent
        events.push(event)
        if (event.type === 'text' && event.tokens === 10) killWorker(host)
      },
    })
    expect(cut.code).not.toBe(0)
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'engine-failed', params: { backend: usualBackend } })
    const { states } = await watchHosting(host)
    await expect.poll(() => kindsOf(states).at(-1), { timeout: 10_000 }).toBe('hosting')
    const next = await processes.quiltbee(host.home, [...greedy, '--max-tokens', '64'])
    expect(next).toMatchObject({ code: 0, stderr: '' })
    expect(next.stdout).toContain(textOf(events).slice(0, 20))
  })

  test('again and again says that it failed and why, and lives on', async () => {
    const host = await processes.up(processes.home(), [])
    const { states } = await watchHosting(host)
    for (let i = 0; i < 4; i++) {
      const before = states.length
      killWorker(host)
      await expect.poll(() => endOfReload(states.slice(before)), { timeout: 30_000 }).toBe('hosting')
    }
    killWorker(host)
    await expect.poll(() => states.at(-1)?.kind, { timeout: 10_000 }).toBe('failed')
    expect(states.at(-1)).toMatchObject({
      kind: 'failed',
      code: 'engine-failed',
      params: { backend: usualBackend, why: expect.stringContaining('failed 5 times') },
    })
    expect(workersOf(host.process.pid ?? 0)).toEqual([])
    expect(host.process.exitCode).toBeNull()
    host.process.kill('SIGTERM')
    expect(await host.ended).toBe(0)
  })

  test('while it loads says so, and tries again by itself', async () => {
    const host = await processes.up(processes.home(), [])
    const { states } = await watchHosting(host)
    const first = killWorker(host)
    await expect
      .poll(() => workersOf(host.process.pid ?? 0).filter((id) => id !== first), { interval: 5 })
      .toHaveLength(1)
    killWorker(host)
    await expect.poll(() => states.at(-1), { timeout: 10_000 }).toMatchObject({ kind: 'failed', code: 'engine-failed' })
    await expect.poll(() => states.at(-1)?.kind, { timeout: 30_000 }).toBe('hosting')
    const made = await processes.quiltbee(host.home, [...greedy, '--max-tokens', '8'])
    expect(made).toMatchObject({ code: 0, stderr: '' })
  })

  test('takes its worker with it when it is killed itself', async () => {
    const host = await processes.up(processes.home(), [])
    const [worker = 0] = workersOf(host.process.pid ?? 0)
    expect(isAlive(worker)).toBe(true)
    host.process.kill('SIGKILL')
    await host.ended
    await expect.poll(() => isAlive(worker), { timeout: 5_000 }).toBe(false)
  })
})
