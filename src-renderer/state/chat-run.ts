/**
 * One generation as a value, and what each event makes of it. Pure: the page draws a run, it never edits one. Whatever
 * happens, text that has arrived stays.
 */
import type { GenerateEvent, Hop, HopReport } from '#contracts/api/chat.ts'
import type { Failure } from '../text/errors.ts'

export type RunPhase = 'queued' | 'waiting' | 'writing' | 'stopping' | 'done' | 'stopped' | 'failed'

/** A route and when it came into use: after `tokens` tokens, because `lostPeer` was lost (null: the first one). */
export type RouteTaken = { readonly hops: readonly Hop[]; readonly lostPeer: Hop | null; readonly tokens: number }

export type EndReason = Extract<GenerateEvent, { type: 'end' }>['reason']

export type ChatRun = {
  readonly id: number
  readonly startedAtMs: number
  readonly modelName: string
  readonly prompt: string
  readonly maxTokens: number
  /** Titles of the patches it was made with. */
  readonly patches: readonly string[]
  /** The two texts of a comparison share its number; null for a text of its own. */
  readonly pair: number | null
  readonly phase: RunPhase
  readonly text: string
  readonly tokens: number
  readonly promptTokens: number | null
  readonly promptMs: number | null
  readonly firstTextAtMs: number | null
  readonly tokensPerSecond: number | null
  readonly routes: readonly RouteTaken[]
  readonly reports: readonly HopReport[]
  readonly endReason: EndReason | null
  readonly seed: number | null
  readonly failure: Failure | null
}

export type RunInit = Pick<ChatRun, 'id' | 'startedAtMs' | 'modelName' | 'prompt' | 'maxTokens' | 'patches' | 'pair'>

export function startRun(init: RunInit): ChatRun {
  return {
    ...init,
    phase: 'waiting',
    text: '',
    tokens: 0,
    promptTokens: null,
    promptMs: null,
    firstTextAtMs: null,
    tokensPerSecond: null,
    routes: [],
    reports: [],
    endReason: null,
    seed: null,
    failure: null,
  }
}

/** Waits for another text to be finished first. */
export function queueRun(init: RunInit): ChatRun {
  return { ...startRun(init), phase: 'queued' }
}

export function isLive(run: ChatRun): boolean {
  return run.phase === 'queued' || run.phase === 'waiting' || run.phase === 'writing' || run.phase === 'stopping'
}

export function applyEvent(run: ChatRun, event: GenerateEvent, nowMs: number): ChatRun {
  if (!isLive(run)) return run
  switch (event.type) {
    case 'route':
      return { ...run, routes: [...run.routes, takeRoute(run, event.hops, event.lostPeerId)] }
    case 'prompt':
      return { ...run, promptTokens: event.tokens, promptMs: event.milliseconds }
    case 'text':
      return addText(run, event, nowMs)
    case 'end':
      return {
        ...run,
        phase: 'done',
        tokens: event.tokens,
        endReason: event.reason,
        seed: event.seed,
        tokensPerSecond: event.tokensPerSecond,
        reports: event.hops,
      }
    case 'error':
      if (run.phase === 'stopping' || event.code === 'cancelled') return stopRun({ ...run, reports: event.hops })
      return failRun({ ...run, tokens: event.tokens, reports: event.hops }, { code: event.code, params: event.params })
  }
}

function takeRoute(run: ChatRun, hops: readonly Hop[], lostPeerId: string | null): RouteTaken {
  const before = run.routes.at(-1)?.hops ?? []
  const lostPeer = before.find((hop) => hop.peerId === lostPeerId) ?? null
  return { hops, lostPeer, tokens: run.tokens }
}

/** The speed shown while writing: tokens after the first, over the time since the first. */
function addText(run: ChatRun, event: Extract<GenerateEvent, { type: 'text' }>, nowMs: number): ChatRun {
  const firstTextAtMs = run.firstTextAtMs ?? nowMs
  const seconds = (nowMs - firstTextAtMs) / 1000
  return {
    ...run,
    phase: run.phase === 'stopping' ? 'stopping' : 'writing',
    text: run.text + event.text,
    tokens: event.tokens,
    firstTextAtMs,
    tokensPerSecond: seconds > 0 && event.tokens > 1 ? (event.tokens - 1) / seconds : null,
  }
}

/** The owner pressed Stop; the node has yet to let go. */
export function askToStop(run: ChatRun): ChatRun {
  return isLive(run) ? { ...run, phase: 'stopping' } : run
}

export function stopRun(run: ChatRun): ChatRun {
  return { ...run, phase: 'stopped' }
}

export function failRun(run: ChatRun, failure: Failure): ChatRun {
  return { ...run, phase: 'failed', failure }
}

/** One text, or the two of a comparison, the model's own first. */
export type RunGroup = { readonly key: number; readonly runs: readonly ChatRun[] }

/** Newest first, as the runs are. */
export function groupRuns(runs: readonly ChatRun[]): RunGroup[] {
  const groups = new Map<number, ChatRun[]>()
  for (const run of runs) {
    const key = run.pair ?? run.id
    groups.set(key, [run, ...(groups.get(key) ?? [])])
  }
  return [...groups].map(([key, runs]) => ({ key, runs }))
}

/** The peers a run has used, the machine itself left out: lost ones too, for they saw its numbers as well. */
export function remotePeers(run: ChatRun): readonly Hop[] {
  const seen = new Map<string, Hop>()
  for (const { hops } of run.routes) for (const hop of hops) if (!hop.local) seen.set(hop.peerId, hop)
  return [...seen.values()]
}
