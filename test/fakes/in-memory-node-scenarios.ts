/**
 * What an in-memory node can be asked to be. Each scenario is a change of one ordinary node, so that a reader sees at once
 * what is special about it. Times are relative to `nowMs`; nothing is random.
 */

import type { Hop } from '#contracts/api/chat.ts'
import { apiVersion } from '#contracts/api/contract.ts'
import type { EngineBackend, EngineMeasurement, EngineOverview } from '#contracts/api/engine.ts'
import type { Budget, HardwareProfile } from '#contracts/api/hardware.ts'
import type { LedgerRow, LedgerVerdict } from '#contracts/api/ledger.ts'
import type { BlockCoverage, ModelSummary, NodeStatus, PeerSummary } from '#contracts/api/node.ts'
import type { PatchDetail } from '#contracts/api/patches.ts'
import type { ErrorCode, ErrorParams } from '#contracts/errors.ts'
import type { Span } from '#contracts/span.ts'
import { digestOf, peerIdOf } from './in-memory-identities.ts'
import { ordinaryPatches, type PatchScenario } from './in-memory-node-patches.ts'
import { ordinaryRuns, type TrainingScenario } from './in-memory-node-training.ts'

export type Failing = { readonly code: ErrorCode; readonly params: ErrorParams }

export type ChatScript = {
  readonly hops: readonly Hop[]
  readonly text: string
  readonly failover: { readonly afterTokens: number; readonly hops: readonly Hop[]; readonly lostPeerId: string } | null
  readonly failure: (Failing & { readonly afterTokens: number }) | null
}

export type Scenario = {
  readonly apiVersion: number
  /** Answers `connect`, and then nothing: for what is shown while waiting. */
  readonly silent: boolean
  readonly status: NodeStatus
  readonly profile: HardwareProfile
  readonly engines: EngineOverview
  /** Newest first. */
  readonly ledger: readonly LedgerRow[]
  readonly verdict: LedgerVerdict | null
  readonly script: ChatScript
  readonly training: TrainingScenario
  readonly patches: PatchScenario
  /** Asked for anything else than its status and chat, the node fails with this. */
  readonly failing: Failing | null
}

const MiB = 1024 ** 2
const GiB = 1024 ** 3
const minute = 60_000

const selfId = peerIdOf(1)
const names = ['amber-otter', 'birch-finch', 'cedar-vole', 'dune-heron', 'elm-marten', 'fern-wren']

function peer(number: number, spans: readonly Span[], rttMs: number | null): PeerSummary {
  const nodeName = names[number % names.length] ?? null
  return {
    peerId: peerIdOf(10 + number),
    nodeName,
    direction: number % 2 ? 'inbound' : 'outbound',
    rttMs,
    spans: [...spans],
  }
}

function model(blockCount: number): ModelSummary {
  return {
    digest: digestOf(4),
    name: blockCount === 8 ? 'seedling' : 'orchard-1b',
    config: {
      architecture: 'llama',
      hiddenSize: 128,
      intermediateSize: 352,
      blockCount,
      headCount: 4,
      kvHeadCount: 2,
      headSize: 32,
      vocabularySize: 2048,
      contextLength: 256,
      rmsNormEpsilon: 1e-5,
      ropeTheta: 10_000,
      ropeStyle: 'half',
      tiedHead: true,
    },
    sizeBytes: blockCount === 8 ? 3_466_000 : Math.round(2.2 * GiB),
    licence: 'MIT',
  }
}

/** Who holds what follows from the spans on offer. */
function cover(blockCount: number, mine: Span | null, peers: readonly PeerSummary[]): BlockCoverage[] {
  const within = (block: number, span: Span): boolean => span.start <= block && block < span.end
  return Array.from({ length: blockCount }, (_, block) => {
    const isMine = mine !== null && within(block, mine)
    const others = peers.filter(({ spans }) => spans.some((span) => within(block, span))).map(({ peerId }) => peerId)
    return { block, holders: isMine ? [selfId, ...others] : others, mine: isMine }
  })
}

function give(blocks: number): Budget {
  return {
    kind: 'give',
    modelDigest: digestOf(4),
    blocks,
    threads: 2,
    sessions: 4,
    maxLength: 256,
    weightBytes: blocks * 46 * MiB,
    cacheBytes: blocks * 16 * MiB,
    memoryLimitBytes: Math.round(1.2 * GiB),
  }
}

const noTotals = { servedSessions: 0, servedTokens: 0, usedSessions: 0, usedTokens: 0, bytesReceived: 0, bytesSent: 0 }

function ledgerOf(count: number, nowMs: number, peers: readonly PeerSummary[]): LedgerRow[] {
  return Array.from({ length: count }, (_, age) => {
    const sequence = count - 1 - age
    const self = sequence % 5 === 0
    const kind = self || sequence % 3 === 0 ? 'used' : 'served'
    const tokensOut = 12 + ((sequence * 37) % 117)
    const bytes = self ? 0 : (tokensOut + 9) * 529
    return {
      sequence,
      kind,
      peerId: self ? selfId : (peers[sequence % Math.max(1, peers.length)]?.peerId ?? peerIdOf(99)),
      self,
      modelDigest: digestOf(4),
      span: kind === 'served' || self ? { start: 0, end: 4 } : { start: 4, end: 8 },
      tokensIn: 9,
      tokensOut,
      bytesReceived: bytes,
      bytesSent: bytes,
      startedAtMs: nowMs - (age + 1) * 7 * minute - age * age * 1000,
      durationMs: 400 + tokensOut * 31,
      outcome: sequence % 11 === 7 ? 'interrupted' : 'completed',
      hash: digestOf(1000 + sequence),
    } as const
  })
}

const story =
  ' there was a little bee named Dot. Dot lived in a big hive near the garden. One morning she found a scrap of yellow' +
  ' cloth in the grass. "I will sew it to my other scraps," she said, and she asked her friends to help. Each friend' +
  ' brought one square, and soon the quilt was wide enough for everyone.'

function hop(from: PeerSummary | null, span: Span): Hop {
  if (from === null) return { peerId: selfId, nodeName: 'quiet-mill', local: true, span }
  return { peerId: from.peerId, nodeName: from.nodeName, local: false, span }
}

function ordinary(nowMs: number): Scenario {
  const scenario = ordinaryNode(nowMs)
  const { status } = scenario
  const self = { peerId: status.peerId, name: status.nodeName }
  return {
    ...scenario,
    engines: enginesOf(status, nowMs),
    training: ordinaryRuns(nowMs),
    patches: ordinaryPatches(nowMs, self),
  }
}

function ordinaryNode(nowMs: number): Omit<Scenario, 'engines' | 'training' | 'patches'> {
  const peers = [peer(0, [{ start: 4, end: 8 }], 0.84), peer(1, [{ start: 2, end: 6 }], 12.4), peer(2, [], null)]
  const ledger = ledgerOf(12, nowMs, peers)
  const mine = { start: 0, end: 4 }
  return {
    apiVersion,
    silent: false,
    status: {
      nodeName: 'quiet-mill',
      peerId: selfId,
      version: '0.1.0',
      startedAtMs: nowMs - 200 * minute,
      addresses: [`/ip4/192.168.1.20/tcp/41234/p2p/${selfId}`, `/ip4/127.0.0.1/tcp/41234/p2p/${selfId}`],
      hosting: { kind: 'hosting', span: mine, sessions: 2, memoryBytes: 248 * MiB },
      model: model(8),
      budget: give(4),
      engine: { backend: 'onnxruntime-cpu', format: 'int8', why: 'fastest' },
      coverage: cover(8, mine, peers),
      peers,
      today: {
        servedSessions: 31,
        servedTokens: 2140,
        usedSessions: 6,
        usedTokens: 412,
        bytesReceived: 1.3e6,
        bytesSent: 1.4e6,
      },
      ledgerEntries: ledger.length,
    },
    profile: {
      measuredAtMs: nowMs - 4 * minute,
      platform: 'linux',
      cpu: { model: 'AMD Ryzen 7 5800U', physicalCores: 8, logicalCores: 16, simd: ['avx2', 'fma', 'f16c'] },
      memory: { totalBytes: 16 * GiB, availableBytes: Math.round(9.1 * GiB) },
      gpus: [],
      disk: { totalBytes: 512 * GiB, freeBytes: 188 * GiB },
      battery: null,
    },
    ledger,
    verdict: null,
    script: {
      hops: [hop(null, { start: 0, end: 4 }), hop(peers[0] ?? null, { start: 4, end: 8 })],
      text: story,
      failover: null,
      failure: null,
    },
    failing: null,
  }
}

function measured(
  format: EngineMeasurement['format'],
  decodeTokensPerSecond: number,
  weightBytes: number,
  exactEnough = true,
): EngineMeasurement {
  return {
    format,
    outcome: {
      kind: 'measured',
      decodeTokensPerSecond,
      decodeBatch8TokensPerSecond: decodeTokensPerSecond * 4.18,
      prefillTokensPerSecond: decodeTokensPerSecond * 9.3,
      weightBytes,
      exactEnough,
    },
  }
}

function failing(
  format: EngineMeasurement['format'],
  reason: 'not-enough-memory' | 'failed' | 'wrong-results',
  detail: string,
): EngineMeasurement {
  return { format, outcome: { kind: 'failed', reason, detail } }
}

type Reason = Extract<EngineBackend['availability'], { kind: 'unavailable' }>['reason']

function missing(
  backend: string,
  device: EngineBackend['device'],
  reason: Reason,
  params: Record<string, string>,
): EngineBackend {
  return {
    backend,
    device,
    formats: ['float32'],
    availability: { kind: 'unavailable', reason, params },
    measurements: [],
  }
}

/** As a small machine without a usable graphics card sees its engines. */
function enginesOf(status: NodeStatus, nowMs: number): EngineOverview {
  return {
    inUse: status.engine,
    override: null,
    model: status.model?.name ?? 'seedling',
    blockCount: status.model?.config.blockCount ?? 8,
    threads: 2,
    measuredAtMs: nowMs - 26 * 60 * minute,
    backends: [
      {
        backend: 'onnxruntime-cpu',
        device: 'cpu',
        formats: ['float32', 'float16', 'int8', 'int4'],
        availability: { kind: 'available' },
        measurements: [
          measured('float32', 11.2, Math.round(4.4 * GiB)),
          measured('float16', 9.87, Math.round(2.2 * GiB)),
          measured('int8', 41.3, Math.round(1.14 * GiB)),
          measured('int4', 55.1, Math.round(0.69 * GiB)),
        ],
      },
      missing('onnxruntime-cuda', 'gpu', 'driver-missing', {
        detail: 'CUDA failure 35: driver version is insufficient',
      }),
      missing('onnxruntime-directml', 'gpu', 'wrong-platform', { platform: 'linux' }),
      {
        backend: 'onnxruntime-webgpu',
        device: 'gpu',
        formats: ['float32', 'int8'],
        availability: { kind: 'available' },
        measurements: [
          failing('float32', 'not-enough-memory', 'one block takes about 9100000000 bytes'),
          measured('int8', 6.02, Math.round(1.14 * GiB), false),
        ],
      },
      missing('tfjs-cuda', 'gpu', 'not-installed', { package: '@tensorflow/tfjs-node-gpu' }),
      missing('tfjs-node', 'cpu', 'probe-failed', { how: 'crashed', detail: 'ended by signal SIGILL' }),
      {
        backend: 'tfjs-wasm',
        device: 'cpu',
        formats: ['float32'],
        availability: { kind: 'available' },
        measurements: [measured('float32', 3.46, Math.round(4.4 * GiB))],
      },
    ],
  }
}

function withEngines(base: Scenario, engines: Partial<EngineOverview>): Scenario {
  return { ...base, engines: { ...base.engines, ...engines } }
}

/** Nothing measured, and nothing tried since the start. */
const unmeasured: Change = (base) => {
  const backends = base.engines.backends.map((backend, index): EngineBackend => {
    return { ...backend, availability: { kind: index === 0 ? 'available' : 'untried' }, measurements: [] }
  })
  const engine = { backend: 'onnxruntime-cpu', format: 'float32', why: 'small-model' } as const
  return withEngines(withStatus(base, { engine }), { inUse: engine, measuredAtMs: null, backends })
}

type Change = (base: Scenario, nowMs: number) => Scenario

function withStatus(base: Scenario, status: Partial<NodeStatus>): Scenario {
  return { ...base, status: { ...base.status, ...status } }
}

function pausedFor(reason: 'paused-by-owner' | 'on-battery' | 'not-enough-memory', untilMs: number | null): Change {
  return (base) => {
    const neededBytes = reason === 'not-enough-memory' ? 62 * MiB : null
    const memoryLimitBytes = reason === 'not-enough-memory' ? 40 * MiB : Math.round(1.2 * GiB)
    return withStatus(base, {
      hosting: { kind: 'paused', reason, untilMs },
      budget: { kind: 'nothing', reason, neededBytes, memoryLimitBytes },
      coverage: cover(8, null, base.status.peers),
    })
  }
}

const longLedger: Change = (base, nowMs) => {
  const ledger = ledgerOf(137, nowMs, base.status.peers)
  return { ...withStatus(base, { ledgerEntries: ledger.length }), ledger }
}

const alone: Change = (base) => ({
  ...withStatus(base, {
    hosting: { kind: 'hosting', span: { start: 0, end: 8 }, sessions: 0, memoryBytes: 496 * MiB },
    budget: give(8),
    peers: [],
    coverage: cover(8, { start: 0, end: 8 }, []),
    today: noTotals,
    ledgerEntries: 0,
  }),
  ledger: [],
  script: { ...base.script, hops: [hop(null, { start: 0, end: 8 })] },
  training: { ...base.training, runs: [] },
  patches: { ...base.patches, patches: [], findable: [], follows: [] },
})

/** Text that gives cause for every warning. */
const careless: Change = (base) => ({
  ...base,
  training: {
    ...base.training,
    warnings: [
      { kind: 'too-little', count: 12, where: null },
      { kind: 'nothing-held-out', count: 0, where: null },
      { kind: 'phone-numbers', count: 3, where: 'letters.txt, line 14' },
      { kind: 'payment-cards', count: 1, where: 'letters.txt, line 20' },
      { kind: 'secrets', count: 1, where: 'letters.txt, line 21' },
      { kind: 'seen-by-base', count: 1, where: null },
      { kind: 'many-duplicates', count: 140, where: null },
      { kind: 'cut-to-context', count: 6, where: null },
      { kind: 'not-utf8', count: 2, where: 'letters.txt, line 2' },
      { kind: 'records-skipped', count: 9, where: 'letters.jsonl, line 4' },
    ],
  },
})

/** Nothing that is asked for fits: neither memory nor room, and the last holder goes away. */
const cramped: Change = (base) => ({
  ...base,
  training: { ...base.training, memoryLimitBytes: 40 * MiB },
  patches: { ...base.patches, quotaBytes: Math.round(11.2 * MiB), fetchFails: true },
})

const unreadable: Change = (base) => ({
  ...base,
  training: {
    ...base.training,
    badData: { code: 'data-format', params: { where: 'letters.jsonl, line 4', what: 'it is no JSON' } },
  },
})

const manyPeers: Change = (base) => {
  const peers = Array.from({ length: 40 }, (_, number) => {
    const start = (number * 7) % 60
    return peer(number, [{ start, end: Math.min(64, start + 4 + (number % 9)) }], 1 + ((number * 17) % 180))
  })
  const mine = { start: 20, end: 28 }
  return withStatus(base, {
    model: model(64),
    peers,
    coverage: cover(64, mine, peers),
    hosting: { kind: 'hosting', span: mine, sessions: 12, memoryBytes: Math.round(1.1 * GiB) },
  })
}

const failover: Change = (base) => {
  const [first, second] = base.status.peers
  const heir = second ?? null
  const hops = [hop(null, { start: 0, end: 4 }), hop(heir, { start: 4, end: 8 })]
  return { ...base, script: { ...base.script, failover: { afterTokens: 12, hops, lostPeerId: first?.peerId ?? '' } } }
}

const gpu: Change = (base) => ({
  ...base,
  profile: {
    ...base.profile,
    gpus: [
      { vendor: 'NVIDIA', model: 'GeForce RTX 4070', memoryBytes: 12 * GiB, driver: '560.35.03', source: 'nvidia-smi' },
      { vendor: 'Intel', model: null, memoryBytes: null, driver: null, source: 'sysfs' },
    ],
    battery: { charging: true, onBattery: false, percent: 87 },
  },
})

const unknown: Change = (base) => ({
  ...base,
  profile: {
    ...base.profile,
    cpu: { model: null, physicalCores: null, logicalCores: 2, simd: null },
    disk: { totalBytes: null, freeBytes: null },
    battery: { charging: null, onBattery: true, percent: null },
  },
})

/** What a peer or a model would send to make the page run, draw or say something else than text. */
export const hostileText = '<img src=x onerror="alert(1)"><script>alert(2)</script>\u202Egnp.exe\u0007{@html}'

const hostile: Change = (base) => {
  const peers = base.status.peers.map((one) => ({ ...one, nodeName: hostileText.slice(0, 64) }))
  const far = peers[0]
  return {
    ...withStatus(base, { peers, nodeName: hostileText.slice(0, 64) }),
    script: {
      ...base.script,
      hops: [hop(null, { start: 0, end: 4 }), hop(far ?? null, { start: 4, end: 8 })],
      text: ` ${hostileText} ${'w'.repeat(400)} ${hostileText}`,
    },
    patches: { ...base.patches, patches: base.patches.patches.map(hostilePatch) },
    training: {
      ...base.training,
      runs: base.training.runs.map((run) => ({ ...run, title: hostileText.slice(0, 80) })),
    },
  }
}

function hostilePatch(detail: PatchDetail): PatchDetail {
  const { summary } = detail
  const author = { ...summary.header.author, name: hostileText.slice(0, 64) }
  const data = summary.header.data === null ? null : { ...summary.header.data, description: hostileText }
  const words = {
    title: hostileText.slice(0, 80),
    description: `${hostileText} ${'w'.repeat(400)}`,
    licence: 'w'.repeat(64),
  }
  return { ...detail, summary: { ...summary, header: { ...summary.header, ...words, author, data } } }
}

const changes = {
  hosting: longLedger,
  alone,
  starting: (base) =>
    withEngines(
      withStatus(base, {
        hosting: { kind: 'starting' },
        model: null,
        budget: null,
        engine: null,
        coverage: [],
        peers: [],
      }),
      { inUse: null },
    ),
  measuring: (base, nowMs) =>
    withStatus(unmeasured(base, nowMs), {
      hosting: { kind: 'measuring', done: 2, total: 7 },
      engine: null,
      coverage: cover(8, null, base.status.peers),
    }),
  loading: (base) =>
    withStatus(base, {
      hosting: { kind: 'loading', span: { start: 0, end: 4 }, blocksLoaded: 3, blocksTotal: 4, again: false },
    }),
  'engine-restarting': (base) =>
    withStatus(base, {
      hosting: { kind: 'loading', span: { start: 0, end: 4 }, blocksLoaded: 0, blocksTotal: 4, again: true },
      coverage: cover(8, null, base.status.peers),
    }),
  'engine-failed': (base) =>
    withStatus(base, {
      hosting: {
        kind: 'failed',
        code: 'engine-failed',
        params: { backend: 'onnxruntime-cpu', why: 'failed 5 times; tried again in 8 minutes' },
      },
      coverage: cover(8, null, base.status.peers),
    }),
  unmeasured,
  'engine-chosen': (base) => {
    const engine = { backend: 'tfjs-wasm', format: 'float32', why: 'owner-chose' } as const
    const override = { backend: 'tfjs-wasm', format: 'float32' } as const
    return withEngines(withStatus(base, { engine }), { inUse: engine, override })
  },
  paused: (base, nowMs) => pausedFor('paused-by-owner', nowMs + 40 * minute)(base, nowMs),
  'on-battery': pausedFor('on-battery', null),
  'short-of-memory': pausedFor('not-enough-memory', null),
  'no-model': (base) =>
    withStatus(base, {
      hosting: { kind: 'paused', reason: 'no-model', untilMs: null },
      budget: { kind: 'nothing', reason: 'no-model', neededBytes: null, memoryLimitBytes: Math.round(1.2 * GiB) },
      model: null,
      coverage: [],
    }),
  failed: (base) =>
    withStatus(base, {
      hosting: { kind: 'failed', code: 'storage-failed', params: { what: 'no space left on the volume' } },
    }),
  gpu,
  unknown,
  'many-peers': manyPeers,
  failover,
  careless,
  cramped,
  unreadable,
  'lost-blocks': (base) => ({
    ...base,
    script: { ...base.script, failure: { afterTokens: 14, code: 'missing-blocks', params: { blocks: '4:8' } } },
  }),
  'broken-ledger': (base) => ({ ...base, verdict: { kind: 'broken', sequence: 8, because: 'hash' } }),
  failing: (base) => ({ ...base, failing: { code: 'storage-failed', params: { what: 'the volume was removed' } } }),
  hostile,
  silent: (base) => ({ ...base, silent: true }),
  'old-version': (base) => ({ ...base, apiVersion: apiVersion - 1 }),
} as const satisfies Record<string, Change>

export type ScenarioName = keyof typeof changes
export const scenarioNames = Object.keys(changes) as readonly ScenarioName[]

export function createScenario(name: ScenarioName, nowMs: number): Scenario {
  const change: Change = changes[name]
  return change(ordinary(nowMs), nowMs)
}
