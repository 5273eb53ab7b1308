/**
 * The wizard while it is used: the form, the files, what the node found in them, and the plan that follows. It outlives
 * its screen, so that nothing typed is lost by looking elsewhere; starting a run, or starting over, empties it.
 */
import type { DataPreview, RunPlan, TrainRequest } from '#contracts/api/training.ts'
import { toFailure } from '../client/failure.ts'
import type { Client } from '../client/link.ts'
import type { Failure } from '../text/errors.ts'
import type { Session } from './session.svelte.ts'
import {
  defaultForm,
  type Fisher,
  fallbackFisher,
  type ReadForm,
  readForm,
  readForPlan,
  type WizardForm,
  type WizardPage,
} from './training-wizard.ts'
import { createUploads, type Uploads } from './uploads.svelte.ts'

export type Inspection =
  | { readonly kind: 'none' }
  | { readonly kind: 'reading'; readonly bytesDone: number; readonly bytesTotal: number }
  | { readonly kind: 'done'; readonly preview: DataPreview }
  | { readonly kind: 'failed'; readonly failure: Failure }

export type Planning = {
  /** The last one that was made; kept while a new one is worked out. */
  readonly plan: RunPlan | null
  readonly asking: boolean
  readonly failure: Failure | null
}

export type TrainingWizard = {
  readonly form: WizardForm
  readonly page: WizardPage
  readonly uploads: Uploads
  /** Text of the base's own kind, for protection by files. */
  readonly protection: Uploads
  readonly read: ReadForm
  readonly inspection: Inspection
  readonly planning: Planning
  readonly starting: boolean
  readonly failure: Failure | null
  /** Something was typed or added. */
  readonly isBegun: boolean
  set(change: Partial<WizardForm>): void
  turnTo(page: WizardPage): void
  /** Reads the files anew, for what is now chosen. */
  inspect(): Promise<void>
  stopInspecting(): void
  /** Soon, once: every further call before then moves it back. */
  planSoon(): void
  /** -> the run's id, or null when it did not start (`failure` says why). */
  start(): Promise<string | null>
  reset(): void
}

/** Long enough not to ask at every key, short enough to feel live. */
const planDelayMs = 300

export function createTrainingWizard(session: Session): TrainingWizard {
  const uploads = createUploads(session)
  const protection = createUploads(session)
  let form = $state.raw<WizardForm>(defaultForm)
  let page = $state.raw<WizardPage>('data')
  let inspection = $state.raw<Inspection>({ kind: 'none' })
  let planning = $state.raw<Planning>({ plan: null, asking: false, failure: null })
  let starting = $state.raw(false)
  let failure = $state.raw<Failure | null>(null)
  let fisher = $state.raw<Fisher>(fallbackFisher)
  let inspecting: AbortController | null = null
  let asking: AbortController | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  const files = $derived({ data: uploads.files, protection: protection.files })
  const read = $derived(readForm(form, files, fisher))
  const isBegun = $derived(form !== defaultForm || uploads.items.length > 0)

  async function follow(client: Client, signal: AbortSignal): Promise<void> {
    const request = { model: form.model, files: [...uploads.files] }
    for await (const event of await client.training.inspect(request, { signal })) {
      if (signal.aborted) return
      if (event.type === 'progress') {
        inspection = { kind: 'reading', bytesDone: event.bytesDone, bytesTotal: event.bytesTotal }
      } else if (event.type === 'done') inspection = { kind: 'done', preview: event.preview }
      else inspection = { kind: 'failed', failure: { code: event.code, params: event.params } }
    }
  }

  async function inspect(): Promise<void> {
    const { client } = session
    inspecting?.abort()
    if (client === null || uploads.files.length === 0 || !uploads.isSettled) {
      inspection = { kind: 'none' }
      return
    }
    const abort = new AbortController()
    inspecting = abort
    inspection = { kind: 'reading', bytesDone: 0, bytesTotal: 0 }
    try {
      await follow(client, abort.signal)
    } catch (error) {
      if (!abort.signal.aborted) inspection = { kind: 'failed', failure: toFailure(error) }
    }
  }

  async function ask(client: Client, request: TrainRequest): Promise<void> {
    const abort = new AbortController()
    asking = abort
    planning = { ...planning, asking: true }
    try {
      const plan = await client.training.plan(request, { signal: abort.signal })
      if (abort.signal.aborted) return
      planning = { plan, asking: false, failure: null }
      if (request.mask.fisher === undefined) fisher = plan.mask?.fisher ?? fisher
    } catch (error) {
      if (!abort.signal.aborted) planning = { ...planning, asking: false, failure: toFailure(error) }
    }
  }

  function forgetPlan(): void {
    clearTimeout(timer)
    asking?.abort()
    planning = { plan: null, asking: false, failure: null }
  }

  function planSoon(): void {
    clearTimeout(timer)
    asking?.abort()
    const wanted = readForPlan(form, files, fisher)
    const { client } = session
    if (client === null || wanted.kind === 'invalid') {
      planning = { ...planning, asking: false }
      return
    }
    planning = { ...planning, asking: true }
    timer = setTimeout(() => void ask(client, wanted.request), planDelayMs)
  }

  function reset(): void {
    inspecting?.abort()
    forgetPlan()
    uploads.clear()
    protection.clear()
    form = defaultForm
    page = 'data'
    inspection = { kind: 'none' }
    failure = null
  }

  return {
    get form() {
      return form
    },
    get page() {
      return page
    },
    uploads,
    protection,
    get read() {
      return read
    },
    get inspection() {
      return inspection
    },
    get planning() {
      return planning
    },
    get starting() {
      return starting
    },
    get failure() {
      return failure
    },
    get isBegun() {
      return isBegun
    },
    set(change) {
      form = { ...form, ...change }
    },
    turnTo(next) {
      page = next
      failure = null
    },
    inspect,
    stopInspecting() {
      inspecting?.abort()
      inspection = { kind: 'none' }
    },
    planSoon,
    async start() {
      const { client } = session
      if (client === null || read.kind === 'invalid' || starting) return null
      starting = true
      failure = null
      try {
        const run = await client.training.start(read.request)
        reset()
        return run.id
      } catch (error) {
        failure = toFailure(error)
        return null
      } finally {
        starting = false
      }
    },
    reset,
  }
}
