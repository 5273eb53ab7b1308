/** Generations of this window, newest first, kept in memory only. One runs at a time. */
import type { GenerateRequest } from '#contracts/api/chat.ts'
import type { ModelSummary } from '#contracts/api/node.ts'
import { toFailure } from '../client/failure.ts'
import type { Client } from '../client/link.ts'
import { applyEvent, askToStop, type ChatRun, failRun, isLive, startRun, stopRun } from './chat-run.ts'
import { type ChatSettings, defaultSettings } from './chat-settings.ts'
import type { Session } from './session.svelte.ts'

/** More than anyone scrolls through; keeps the window's memory bounded. */
const maximumRuns = 50

export type ChatState = {
  readonly runs: readonly ChatRun[]
  /** The one that runs now. */
  readonly live: ChatRun | null
  readonly models: readonly ModelSummary[]
  prompt: string
  settings: ChatSettings
  loadModels(): Promise<void>
  generate(request: GenerateRequest, modelName: string): Promise<void>
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
    async generate(request, modelName) {
      const { client } = session
      if (client === null || live !== null) return
      const id = nextId++
      abort = new AbortController()
      const { prompt, maxTokens } = request
      runs = [startRun({ id, startedAtMs: Date.now(), modelName, prompt, maxTokens }), ...runs].slice(0, maximumRuns)
      await stream(client, request, id, abort.signal)
    },
    stop() {
      if (live === null) return
      change(live.id, askToStop)
      abort?.abort()
    },
    clear() {
      runs = runs.filter(isLive)
    },
  }
}
