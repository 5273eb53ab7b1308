/** Patches of a node that lives in memory: a few of every kind, and a desk that lists, fetches, shares and removes them. */
import type { PatchDesk } from '#app/patch-desk.ts'
import type {
  PatchDetail,
  PatchDiff,
  PatchFetchEvent,
  PatchList,
  PatchSummary,
  TensorChange,
} from '#contracts/api/patches.ts'
import type { Digest } from '#contracts/digest.ts'
import { CodedError, InvalidInputError } from '#contracts/errors.ts'
import type { DataCard, Metric, TrainingMethod } from '#contracts/patch-file/header.ts'
import { digestOf, peerIdOf } from './in-memory-identities.ts'
import { createNews, pause } from './in-memory-news.ts'

export type PatchScenario = {
  readonly patches: readonly PatchDetail[]
  readonly quotaBytes: number
  readonly follows: PatchList['follows']
  /** The author of what is trained here. */
  readonly self: { readonly peerId: string; readonly name: string }
  /** What a search of the swarm brings. */
  readonly findable: readonly PatchDetail[]
  /** A fetch ends with this half-way. */
  readonly fetchFails: boolean
}

const MiB = 1024 ** 2
const blockCount = 8
const roles = [
  ['self_attn.q_proj.weight', 16_384],
  ['self_attn.k_proj.weight', 8_192],
  ['self_attn.v_proj.weight', 8_192],
  ['self_attn.o_proj.weight', 16_384],
  ['mlp.gate_proj.weight', 45_056],
  ['mlp.up_proj.weight', 45_056],
  ['mlp.down_proj.weight', 45_056],
] as const

/** Parameters of the seedling, as the fakes have it. */
export const seedlingParameters = 1_738_368

function tensorsOf(keepRatio: number, seed: number): TensorChange[] {
  const change = (tensor: string, size: number, weight: number): TensorChange => {
    const entries = Math.min(size, Math.round(size * keepRatio * weight))
    return { tensor, kind: 'delta', entries, size, norm: 0.31 * weight, largest: 0.021 * weight }
  }
  const blocks = Array.from({ length: blockCount }, (_, block) =>
    roles.map(([role, size], at) => {
      const weight = 0.2 + ((block * 5 + at * 3 + seed) % 7) * 0.32
      return change(`model.layers.${block}.${role}`, size, weight)
    }),
  ).flat()
  return [change('model.embed_tokens.weight', 262_144, 1.4), ...blocks, change('model.norm.weight', 128, 3.1)].filter(
    ({ entries }) => entries > 0,
  )
}

export const dataCard: DataCard = {
  digest: digestOf(301),
  formats: ['text'],
  documents: 135,
  duplicatesDropped: 2,
  trainingExamples: 1_204,
  heldOutExamples: 131,
  trainingTokens: 298_112,
  heldOutTokens: 32_480,
  description: 'Moby-Dick by Herman Melville, chapter by chapter.',
  licence: 'public domain',
  warnings: [],
}

export const metrics: readonly Metric[] = [
  {
    name: 'held-out-loss',
    unit: 'nats/token',
    before: 4.79,
    after: 4.12,
    gain: { mean: 0.67, low: 0.63, high: 0.71 },
    items: 131,
  },
  {
    name: 'base-text-loss',
    unit: 'nats/token',
    before: 3.08,
    after: 3.23,
    gain: { mean: -0.15, low: -0.17, high: -0.13 },
    items: 64,
  },
]

type Make = {
  readonly seed: number
  readonly title: string
  readonly nowMs: number
  readonly where: PatchSummary['where']
  readonly author: { readonly peerId: string; readonly name: string }
  readonly keepRatio?: number
  readonly method?: TrainingMethod
  readonly change?: Partial<PatchSummary>
  readonly description?: string
  readonly parents?: readonly Digest[]
  readonly metrics?: readonly Metric[]
}

export function makePatch(make: Make): PatchDetail {
  const { seed, nowMs, where, keepRatio = 0.005, method = 'fish' } = make
  const tensors = tensorsOf(keepRatio, seed)
  const entries = tensors.reduce((sum, one) => sum + one.entries, 0)
  const sizeBytes = 1_400 + entries * 2
  const createdAtMs = nowMs - seed * 3_600_000
  const summary: PatchSummary = {
    digest: digestOf(700 + seed),
    header: {
      title: make.title,
      description: make.description ?? 'Writes more like a whaling voyage, and less like a bedtime story.',
      licence: 'CC0-1.0',
      author: make.author,
      createdAtMs,
      base: { digest: digestOf(4), name: 'seedling' },
      parents: [...(make.parents ?? [])],
      origin: where === 'imported' ? 'import' : 'train',
      training:
        where === 'imported'
          ? null
          : {
              method,
              objective: 'language-model',
              mask: {
                keepRatio,
                quota: 'joint',
                scope: 'all',
                head: 'in-budget',
                fisher: { kind: 'empirical', examples: 256, trialSteps: 0 },
              },
              hyperParameters: hyperParameters(3e-3),
              trainedParameters: entries,
              bestStep: 380,
              engine: 'onnxruntime-cpu float32 1',
            },
      data: where === 'imported' ? null : { ...dataCard, warnings: seed % 2 === 0 ? ['email-addresses'] : [] },
      metrics: where === 'imported' ? [] : [...(make.metrics ?? metrics)],
      formatVersion: 1,
      valueFormat: 'int8',
      maskDigest: digestOf(900 + seed),
      sharedMask: false,
    },
    sizeBytes,
    entries,
    tensors: tensors.length,
    where,
    receivedBytes: where === 'seen' ? 0 : sizeBytes,
    shared: false,
    tags: [],
    addedAtMs: createdAtMs + 60_000,
    holders: where === 'mine' || where === 'imported' ? 0 : 2,
    followed: false,
    ...make.change,
  }
  return { summary, tensors: where === 'seen' ? [] : tensors, ancestors: [], children: [] }
}

export function hyperParameters(learningRate: number) {
  return {
    steps: 400,
    batchSize: 8,
    sequenceLength: 256,
    learningRate,
    schedule: 'linear' as const,
    warmup: 0.06,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0,
    maximumNorm: 1,
    protectedShare: 0,
    seed: 42,
  }
}

const amber = { peerId: peerIdOf(10), name: 'amber-otter' }
const birch = { peerId: peerIdOf(11), name: 'birch-finch' }

export function ordinaryPatches(nowMs: number, self: { peerId: string; name: string }): PatchScenario {
  const whales = makePatch({
    seed: 2,
    title: 'Whale songs',
    nowMs,
    where: 'mine',
    author: self,
    change: { shared: true, holders: 3, tags: ['whales'] },
  })
  const parent = { digest: whales.summary.digest, depth: 1, summary: whales.summary }
  const logbook = makePatch({
    seed: 1,
    title: 'Logbook manner',
    nowMs,
    where: 'mine',
    author: self,
    keepRatio: 0.02,
    parents: [whales.summary.digest],
  })
  const letters = makePatch({
    seed: 5,
    title: 'Letters of a gardener',
    nowMs,
    where: 'fetched',
    author: amber,
    change: { tags: ['garden', 'letters'], followed: true },
  })
  const lora = makePatch({ seed: 7, title: 'Old adapter', nowMs, where: 'imported', author: self, description: '' })
  const half = makePatch({ seed: 3, title: 'Ship’s cook', nowMs, where: 'fetched', author: birch })
  const seen = makePatch({
    seed: 4,
    title: 'Weather reports',
    nowMs,
    where: 'seen',
    author: birch,
    method: 'ia3',
    keepRatio: 0.001,
  })
  const findable = makePatch({ seed: 6, title: 'Sermons', nowMs, where: 'seen', author: amber })
  const cut = { ...half.summary, receivedBytes: Math.round(half.summary.sizeBytes * 0.4) }
  return {
    patches: [
      { ...logbook, ancestors: [parent] },
      { ...whales, children: [logbook.summary.digest] },
      letters,
      lora,
      { ...half, summary: cut, tensors: [] },
      seen,
    ],
    quotaBytes: 512 * MiB,
    follows: [amber],
    self,
    findable: [findable],
    fetchFails: false,
  }
}

export type InMemoryPatches = PatchDesk & { add(detail: PatchDetail): void }

export function createInMemoryPatches(scenario: PatchScenario, paceMs: number): InMemoryPatches {
  let details = new Map(scenario.patches.map((detail) => [detail.summary.digest as string, detail]))
  let follows = scenario.follows
  const news = createNews()

  function put(detail: PatchDetail): PatchSummary {
    details = new Map(details).set(detail.summary.digest, detail)
    news.tell()
    return detail.summary
  }

  function find(name: string): PatchDetail {
    const found = [...details.values()].find(
      ({ summary }) => summary.tags.includes(name) || (name.length >= 8 && summary.digest.startsWith(name)),
    )
    if (found === undefined) throw new CodedError('patch-not-found', `no patch called ${name}`, { patch: name })
    return found
  }

  function change(name: string, to: Partial<PatchSummary>): PatchSummary {
    const detail = find(name)
    return put({ ...detail, summary: { ...detail.summary, ...to } })
  }

  function list(): PatchList {
    const patches = [...details.values()].map(({ summary }) => summary)
    const bytes = patches.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0)
    return { patches, usage: { bytes: bytes + 11 * MiB, quotaBytes: scenario.quotaBytes }, follows: [...follows] }
  }

  async function* fetch(name: string, signal?: AbortSignal): AsyncGenerator<PatchFetchEvent, void, undefined> {
    const { summary } = find(name)
    const steps = 8
    for (let step = 1; step <= steps; step += 1) {
      await pause(paceMs * 4, signal)
      const receivedBytes = Math.max(summary.receivedBytes, Math.round((summary.sizeBytes * step) / steps))
      const peerId = step < 4 ? amber.peerId : birch.peerId
      yield { type: 'progress', receivedBytes, sizeBytes: summary.sizeBytes, peerId }
      if (step === 3) yield { type: 'dropped', peerId: amber.peerId, why: 'a piece did not match its digest' }
      if (step === 4 && scenario.fetchFails) {
        const why = 'the last peer that had it went away'
        yield { type: 'error', code: 'patch-unavailable', params: { patch: summary.digest, why } }
        return
      }
    }
    const { tensors } = makePatch({ seed: 3, title: '', nowMs: 0, where: 'mine', author: amber })
    const here = { ...summary, where: 'fetched', receivedBytes: summary.sizeBytes } as const
    put({ ...find(name), summary: here, tensors })
    yield { type: 'done', patch: here }
  }

  return {
    add: put,
    list: async () => list(),
    async *watch(_request, signal) {
      for await (const _ of news.changes(signal)) yield list()
    },
    show: async (name) => find(name),
    diff: async ({ left, right }) => differ(find(left), find(right)),
    async search(_request, signal) {
      await pause(paceMs * 8, signal)
      for (const detail of scenario.findable) if (!details.has(detail.summary.digest)) put(detail)
      return { found: scenario.findable.length }
    },
    fetch,
    share: async (name, shared) => change(name, { shared }),
    async remove(name) {
      const { summary } = find(name)
      details = new Map(details)
      details.delete(summary.digest)
      if (summary.holders > 0) put(makeSeen(summary))
      news.tell()
    },
    async tag(tag, name) {
      for (const { summary } of details.values()) {
        if (summary.tags.includes(tag)) change(summary.digest, { tags: summary.tags.filter((one) => one !== tag) })
      }
      if (name !== null) change(name, { tags: [...find(name).summary.tags, tag].toSorted() })
    },
    async follow({ peerId, name, followed }) {
      follows = [...follows.filter((one) => one.peerId !== peerId), ...(followed ? [{ peerId, name }] : [])]
      for (const { summary } of details.values()) {
        if (summary.header.author.peerId === peerId) change(summary.digest, { followed })
      }
    },
    async import({ path }) {
      throw new InvalidInputError('path', `no file ${path}`)
    },
    export: async ({ patch, path }) => ({ path, bytes: find(patch).summary.sizeBytes }),
  }
}

function makeSeen(summary: PatchSummary): PatchDetail {
  return {
    summary: { ...summary, where: 'seen', receivedBytes: 0, shared: false, tags: [] },
    tensors: [],
    ancestors: [],
    children: [],
  }
}

function differ(left: PatchDetail, right: PatchDetail): PatchDiff {
  const others = new Map(right.tensors.map((one) => [one.tensor, one]))
  const tensors = left.tensors.flatMap((one) => {
    const other = others.get(one.tensor)
    if (other === undefined) return []
    const sharedEntries = Math.round(Math.min(one.entries, other.entries) * 0.61)
    return [
      {
        tensor: one.tensor,
        leftEntries: one.entries,
        rightEntries: other.entries,
        sharedEntries,
        overlap: 0.61,
        cosine: 0.34,
        leftNorm: one.norm,
        rightNorm: other.norm,
      },
    ]
  })
  return {
    left: left.summary.digest,
    right: right.summary.digest,
    sameBase: true,
    overlap: 0.61,
    cosine: 0.34,
    signConflicts: 212,
    tensors,
  }
}
