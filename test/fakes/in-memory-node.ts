/**
 * A node that lives in memory and speaks the whole contract: for the views (`npm run dev:views`), their tests, and anyone
 * who needs the API without a swarm. It keeps the contract's promises: streams end, closing one early stops the work, and
 * what is paused, generated or served shows in the status and the ledger.
 */
import { implement, ORPCError } from '@orpc/server'
import type { GenerateEvent, GenerateRequest, Hop } from '#contracts/api/chat.ts'
import { contract } from '#contracts/api/contract.ts'
import type { EngineMeasureEvent, EngineOverview, EngineWish } from '#contracts/api/engine.ts'
import type { Policy } from '#contracts/api/hardware.ts'
import type { LedgerRow, LedgerVerifyEvent } from '#contracts/api/ledger.ts'
import type { NodeStatus, Totals } from '#contracts/api/node.ts'
import { CodedError } from '#contracts/errors.ts'
import { digestOf } from './in-memory-identities.ts'
import { pause } from './in-memory-news.ts'
import { createInMemoryPatches } from './in-memory-node-patches.ts'
import { createScenario, type Failing, type ScenarioName } from './in-memory-node-scenarios.ts'
import { createInMemoryTraining } from './in-memory-node-training.ts'

export type InMemoryNodeInit = {
  readonly scenario?: ScenarioName
  /** Between two tokens, and between two steps of a verification. */
  readonly paceMs?: number
  readonly nowMs?: () => number
}

const policy: Policy = {
  memoryShare: 0.25,
  memoryCapBytes: null,
  threadShare: 0.5,
  onBattery: 'pause',
  diskReserveBytes: 5 * 1024 ** 3,
  maxSessions: 4,
}

export function createInMemoryNode(init: InMemoryNodeInit = {}) {
  const { paceMs = 30, nowMs = Date.now } = init
  const scenario = createScenario(init.scenario ?? 'hosting', nowMs())
  const watchers = new Set<() => void>()
  let status = scenario.status
  let ledger = scenario.ledger
  let profile = scenario.profile
  let engines = scenario.engines
  const running = scenario.status
  const patches = createInMemoryPatches(scenario.patches, paceMs)
  const { self } = scenario.patches
  const training = createInMemoryTraining(scenario.training, { paceMs, nowMs, self, addPatch: patches.add })

  function change(next: Partial<NodeStatus>): NodeStatus {
    status = { ...status, ...next }
    for (const wake of watchers) wake()
    return status
  }

  /** The status now and after every change, until the reader goes away. */
  async function* watch(signal: AbortSignal | undefined): AsyncGenerator<NodeStatus, void> {
    let seen: NodeStatus | null = null
    while (signal?.aborted !== true) {
      if (seen !== status) {
        seen = status
        yield seen
        continue
      }
      await new Promise<void>((resolve) => {
        watchers.add(resolve)
        signal?.addEventListener('abort', () => resolve(), { once: true })
      })
      watchers.clear()
    }
  }

  function record(request: GenerateRequest, tokens: number, hops: readonly Hop[], outcome: LedgerRow['outcome']): void {
    const rows = hops.map((hop, index) => rowOf(status.ledgerEntries + index, hop, tokens, outcome, nowMs()))
    ledger = [...rows.toReversed(), ...ledger]
    const today: Totals = {
      ...status.today,
      usedSessions: status.today.usedSessions + rows.length,
      usedTokens: status.today.usedTokens + tokens + request.prompt.length,
    }
    change({ ledgerEntries: ledger.length, today })
  }

  async function* generate(
    request: GenerateRequest,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<GenerateEvent, void> {
    const { script } = scenario
    const text =
      request.patches.length === 0 ? script.text : ` and the sea was calm, as ever it is before a storm.${script.text}`
    const local = { peerId: status.peerId, nodeName: status.nodeName, local: true, span: { start: 0, end: 8 } }
    let hops: readonly Hop[] = request.localOnly ? [local] : script.hops
    const words = Array.from({ length: 40 }, () => text.match(/\s?\S+/g) ?? []).flat()
    let tokens = 0
    let outcome: LedgerRow['outcome'] = 'interrupted'
    try {
      yield { type: 'route', hops: [...hops], lostPeerId: null }
      await pause(paceMs * 3, signal)
      yield { type: 'prompt', tokens: request.prompt.length, milliseconds: 41.5 }
      for (const word of words.slice(0, request.maxTokens)) {
        await pause(paceMs, signal)
        if (script.failure?.afterTokens === tokens) {
          const { code, params } = script.failure
          yield { type: 'error', code, params: wire(params), tokens, hops: reportsOf(hops, tokens, 'interrupted') }
          return
        }
        if (script.failover?.afterTokens === tokens && !request.localOnly) {
          hops = script.failover.hops
          yield { type: 'route', hops: [...hops], lostPeerId: script.failover.lostPeerId }
        }
        tokens += 1
        yield { type: 'text', text: word, tokens }
      }
      outcome = 'completed'
      yield {
        type: 'end',
        reason: 'length',
        tokens,
        seed: request.sampling.seed ?? 1_234_567,
        tokensPerSecond: 31.46,
        hops: reportsOf(hops, tokens, 'completed'),
      }
    } finally {
      record(request, tokens, hops, outcome)
    }
  }

  async function* verify(signal: AbortSignal | undefined): AsyncGenerator<LedgerVerifyEvent, void> {
    const total = ledger.length
    const steps = 10
    for (let step = 0; step <= steps; step += 1) {
      yield { type: 'progress', checked: Math.round((total * step) / steps), total }
      await pause(paceMs, signal)
    }
    yield {
      type: 'verdict',
      verdict: scenario.verdict ?? { kind: 'intact', entries: total, headHash: ledger[0]?.hash ?? null },
    }
  }

  /** As if each were tried now, and came out as the scenario says. */
  async function* measure(signal: AbortSignal | undefined): AsyncGenerator<EngineMeasureEvent, void> {
    yield { type: 'looking' }
    const measurable = createScenario('hosting', nowMs()).engines.backends
    const steps = measurable.flatMap(({ backend, measurements }) =>
      measurements.map(({ format }) => ({ backend, format })),
    )
    for (const [done, step] of steps.entries()) {
      yield { type: 'progress', ...step, done, total: steps.length }
      await pause(paceMs * 4, signal)
    }
    engines = { ...engines, backends: measurable, measuredAtMs: nowMs() }
    yield { type: 'done', overview: engines }
  }

  function choose(wish: EngineWish | null): EngineOverview {
    const automatic = { backend: 'onnxruntime-cpu', format: 'int8', why: 'fastest' } as const
    const chosen =
      wish === null
        ? automatic
        : wish.format === null
          ? ({ backend: wish.backend, format: 'float32', why: 'owner-chose-backend' } as const)
          : ({ backend: wish.backend, format: wish.format, why: 'owner-chose' } as const)
    engines = { ...engines, override: wish, inUse: chosen }
    change({ engine: chosen })
    return engines
  }

  function list({ before, limit, kind }: { before: number | null; limit: number; kind: LedgerRow['kind'] | null }) {
    const fitting = ledger.filter(
      (row) => (before === null || row.sequence < before) && (kind === null || row.kind === kind),
    )
    const rows = fitting.slice(0, limit)
    const next = fitting.length > limit ? (rows.at(-1)?.sequence ?? null) : null
    return { rows, next, totalEntries: ledger.length, allTime: totalsOf(ledger) }
  }

  const api = implement(contract)
  const checked = api.use(async ({ next, path, signal }) => {
    if (path[0] !== 'connect' && scenario.silent) await untilAborted(signal)
    const isNode = path[0] === 'node' && (path[1] === 'watch' || path[1] === 'status')
    const fails = !['connect', 'chat'].includes(path[0] ?? '') && !isNode
    if (scenario.failing !== null && fails) throw failed(scenario.failing)
    try {
      return await next()
    } catch (error) {
      throw error instanceof CodedError ? failed(error) : error
    }
  })
  const router = checked.router({
    connect: checked.connect.handler(() => ({
      apiVersion: scenario.apiVersion,
      version: status.version,
      peerId: status.peerId,
    })),
    node: {
      status: checked.node.status.handler(() => status),
      watch: checked.node.watch.handler(({ signal }) => watch(signal)),
      pause: checked.node.pause.handler(({ input }) => {
        const untilMs = input.minutes === null ? null : nowMs() + input.minutes * 60_000
        return change({ hosting: { kind: 'paused', reason: 'paused-by-owner', untilMs }, budget: nothing(status) })
      }),
      resume: checked.node.resume.handler(() => change(resumed(running))),
    },
    hardware: {
      get: checked.hardware.get.handler(() => ({ profile, policy })),
      detect: checked.hardware.detect.handler(async ({ signal }) => {
        await pause(paceMs, signal)
        profile = { ...profile, measuredAtMs: nowMs() }
        return { profile, policy }
      }),
    },
    engine: {
      overview: checked.engine.overview.handler(async ({ input, signal }) => {
        if (input.look) {
          await pause(paceMs, signal)
          const { backends } = createScenario('hosting', nowMs()).engines
          const known = new Map(backends.map((one) => [one.backend, one.availability]))
          engines = {
            ...engines,
            backends: engines.backends.map((one) => ({
              ...one,
              availability: known.get(one.backend) ?? one.availability,
            })),
          }
        }
        return engines
      }),
      measure: checked.engine.measure.handler(({ signal }) => measure(signal)),
      choose: checked.engine.choose.handler(({ input }) => choose(input)),
    },
    models: { list: checked.models.list.handler(() => (status.model === null ? [] : [status.model])) },
    chat: { generate: checked.chat.generate.handler(({ input, signal }) => generate(input, signal)) },
    training: {
      upload: checked.training.upload.handler(({ input }) => training.upload(input)),
      inspect: checked.training.inspect.handler(({ input, signal }) => training.inspect(input, signal)),
      plan: checked.training.plan.handler(({ input, signal }) => training.plan(input, signal)),
      start: checked.training.start.handler(({ input, signal }) => training.start(input, signal)),
      runs: checked.training.runs.handler(() => training.runs()),
      show: checked.training.show.handler(({ input }) => training.show(input.id)),
      watch: checked.training.watch.handler(({ input, signal }) => coded(training.watch(input.id, signal))),
      act: checked.training.act.handler(({ input }) => training.act(input.id, input.action)),
    },
    patches: {
      list: checked.patches.list.handler(({ input }) => patches.list(input)),
      watch: checked.patches.watch.handler(({ input, signal }) => patches.watch(input, signal)),
      show: checked.patches.show.handler(({ input }) => patches.show(input.patch)),
      diff: checked.patches.diff.handler(({ input }) => patches.diff(input)),
      search: checked.patches.search.handler(({ input, signal }) => patches.search(input, signal)),
      fetch: checked.patches.fetch.handler(({ input, signal }) => patches.fetch(input.patch, signal)),
      share: checked.patches.share.handler(({ input }) => patches.share(input.patch, input.shared)),
      remove: checked.patches.remove.handler(async ({ input }) => {
        await patches.remove(input.patch)
        return {}
      }),
      tag: checked.patches.tag.handler(async ({ input }) => {
        await patches.tag(input.tag, input.patch)
        return {}
      }),
      follow: checked.patches.follow.handler(async ({ input }) => {
        await patches.follow(input)
        return {}
      }),
      import: checked.patches.import.handler(({ input, signal }) => patches.import(input, signal)),
      export: checked.patches.export.handler(({ input, signal }) => patches.export(input, signal)),
    },
    ledger: {
      list: checked.ledger.list.handler(({ input }) => list(input)),
      verify: checked.ledger.verify.handler(({ signal }) => verify(signal)),
    },
  })
  return { router, change }
}

export type InMemoryNode = ReturnType<typeof createInMemoryNode>

function failed({ code, params }: Failing): Error {
  return new ORPCError('FAILED', { status: 500, defined: true, data: { code, params } })
}

/** A stream's failures come after its handler has answered. */
async function* coded<T>(stream: AsyncGenerator<T, void, undefined>): AsyncGenerator<T, void, undefined> {
  try {
    yield* stream
  } catch (error) {
    throw error instanceof CodedError ? failed(error) : error
  }
}

/** A copy whose lists may be changed, as the contract's types want them. */
function wire(params: Failing['params']): Record<string, string | number | boolean | number[]> {
  return structuredClone(params) as Record<string, string | number | boolean | number[]>
}

function nothing(status: NodeStatus): NodeStatus['budget'] {
  const memoryLimitBytes = status.budget?.memoryLimitBytes ?? 0
  return { kind: 'nothing', reason: 'paused-by-owner', neededBytes: null, memoryLimitBytes }
}

function resumed(before: NodeStatus): Partial<NodeStatus> {
  const hosting: NodeStatus['hosting'] =
    before.hosting.kind === 'paused'
      ? { kind: 'hosting', span: { start: 0, end: 4 }, sessions: 0, memoryBytes: 260_046_848 }
      : before.hosting
  return { hosting, budget: before.budget }
}

function totalsOf(rows: readonly LedgerRow[]): Totals {
  const sum = (kind: LedgerRow['kind']) => rows.filter((row) => row.kind === kind)
  const tokens = (of: readonly LedgerRow[]) => of.reduce((total, row) => total + row.tokensIn + row.tokensOut, 0)
  return {
    servedSessions: sum('served').length,
    servedTokens: tokens(sum('served')),
    usedSessions: sum('used').length,
    usedTokens: tokens(sum('used')),
    bytesReceived: rows.reduce((total, row) => total + row.bytesReceived, 0),
    bytesSent: rows.reduce((total, row) => total + row.bytesSent, 0),
  }
}

/** What crosses the network a position: 128 values of 4 bytes, and the frame around them. */
const bytesPerToken = 529

function reportsOf(hops: readonly Hop[], tokens: number, outcome: LedgerRow['outcome']) {
  return hops.map((hop) => {
    const bytes = hop.local ? 0 : tokens * bytesPerToken
    return { ...hop, tokensIn: 6, tokensOut: tokens, bytesSent: bytes, bytesReceived: bytes, outcome }
  })
}

function rowOf(sequence: number, hop: Hop, tokensOut: number, outcome: LedgerRow['outcome'], nowMs: number): LedgerRow {
  const bytes = hop.local ? 0 : tokensOut * bytesPerToken
  return {
    sequence,
    kind: 'used',
    peerId: hop.peerId,
    self: hop.local,
    modelDigest: digestOf(4),
    span: hop.span,
    tokensIn: 6,
    tokensOut,
    bytesReceived: bytes,
    bytesSent: bytes,
    startedAtMs: nowMs,
    durationMs: tokensOut * 31,
    outcome,
    hash: digestOf(5000 + sequence),
  }
}

function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
