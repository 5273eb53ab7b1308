/** Generations of this window, newest first, kept in memory only. One runs at a time. */
import type { GenerateRequest } from '#contracts/api/chat.ts'
import type { ModelSummary } from '#contracts/api/node.ts'
import { toFailure } from '../client/failure.ts'
import type { Client } from '../client/link.ts'
import { applyEvent, askToStop, type ChatRun, failRun, isLive, queueRun, startRun, stopRun } from './chat-run.ts'
import { type ChatSettings, defaultSettings, pairOf } from './chat-settings.ts'
import type { Session } from './session.svelte.ts'

/** More than anyone scrolls through; keeps the window's memory bounded. */
const maximumRuns = 50

/** What the contract lets one text use. */
export const maximumPatches = 8

export type ChatState = {
  readonly runs: readonly ChatRun[]
  /** The one that runs now. */
  readonly live: ChatRun | null
  readonly models: readonly ModelSummary[]
  prompt: string
  settings: ChatSettings
  loadModels(): Promise<void>
  /** Adds a patch to the settings; `model` is the one it was made for, null for the one this node hosts. */
  usePatch(digest: string, model: string | null): void
  /** `patches`: the titles of those in the request. */
  generate(request: GenerateRequest, modelName: string, patches?: readonly string[]): Promise<void>
  /** The same text twice, by the model alone and with the patches, one after the other. */
  compare(request: GenerateRequest, modelName: string, patches: readonly string[]): Promise<void>
  stop(): void
  clear(): void
}

export function createChatState(session: Session): ChatState {
  let runs = $state.raw<readonly ChatRun[]>([])
  let models = $state.raw<readonly ModelSummary[]>([])
  let prompt = $state('')
  let settings = $state.raw<ChatSettings>(defaultSettings)
  let abort: AbortController | null = null
  let nextId = 1
  const live = $derived(runs.find(isLive) ?? null)

  function change(id: number, to: (run: ChatRun) => ChatRun): void {
    runs = runs.map((run) => (run.id === id ? to(run) : run))
  }

  async function stream(client: Client, request: GenerateRequest, id: number, signal: AbortSignal): Promise<void> {
    try {
      for await (const event of await client.chat.generate(request, { signal })) {
        change(id, (run) => applyEvent(run, event, Date.now()))
      }
      change(id, (run) => (isLive(run) ? failRun(run, { code: 'internal', params: {} }) : run))
    } catch (error) {
      change(id, (run) => (signal.aborted ? stopRun(run) : failRun(run, toFailure(error))))
    }
  }

  function initOf(request: GenerateRequest, modelName: string, patches: readonly string[], pair: number | null) {
    const { prompt, maxTokens } = request
    return { id: nextId++, startedAtMs: Date.now(), modelName, prompt, maxTokens, patches, pair }
  }

  return {
    get runs() {
      return runs
    },
    get live() {
      return live
    },
    get models() {
      return models
    },
    get prompt() {
      return prompt
    },
    set prompt(text) {
      prompt = text
    },
    get settings() {
      return settings
    },
    set settings(next) {
      settings = next
    },
    /** Without the list the hosted model is used, so a failure here is no reason to stop anyone. */
    async loadModels() {
      models = (await session.client?.models.list().catch(() => models)) ?? models
    },
    usePatch(digest, model) {
      const others = settings.model === model ? settings.patches.filter((one) => one !== digest) : []
      settings = { ...settings, model, patches: [digest, ...others].slice(0, maximumPatches) }
    },
    async generate(request, modelName, patches = []) {
      const { client } = session
      if (client === null || live !== null) return
      abort = new AbortController()
      const run = startRun(initOf(request, modelName, patches, null))
      runs = [run, ...runs].slice(0, maximumRuns)
      await stream(client, request, run.id, abort.signal)
    },
    async compare(request, modelName, patches) {
      const { client } = session
      if (client === null || live !== null) return
      abort = new AbortController()
      const { signal } = abort
      const pair = pairOf(request, crypto.getRandomValues(new Uint32Array(1))[0] ?? 0)
      const base = startRun(initOf(pair.base, modelName, [], nextId))
      const patched = queueRun(initOf(pair.patched, modelName, patches, base.pair))
      runs = [patched, base, ...runs].slice(0, maximumRuns)
      await stream(client, pair.base, base.id, signal)
      if (signal.aborted) return change(patched.id, stopRun)
      change(patched.id, (run) => ({ ...run, phase: 'waiting', startedAtMs: Date.now() }))
      await stream(client, pair.patched, patched.id, signal)
    },
    stop() {
      if (live === null) return
      runs = runs.map(askToStop)
      abort?.abort()
    },
    clear() {
      runs = runs.filter(isLive)
    },
  }
}
