/** What a worker holds for its client, by the client's ids. What belongs to a part goes with it. */
import type { LoadedPatch, ModelEnds, SpanRunner, SpanSession } from '#core/ports/engine.ts'
import type { Trainee } from '#core/ports/training-engine.ts'
import type { WorkerStats } from './protocol.ts'
import { createServedSession, endInLine, type Placed, type ServedSession } from './served-session.ts'

type Part =
  | { readonly kind: 'runner'; readonly runner: SpanRunner }
  | { readonly kind: 'ends'; readonly ends: ModelEnds }
  | { readonly kind: 'trainee'; readonly trainee: Trainee; readonly inTurn: InTurn }

/** One piece of work after the other: a client may ask for the next while the last, given up, still runs. */
export type InTurn = <T>(work: () => Promise<T>) => Promise<T>

export interface ServedParts {
  /** Keeps what `make` makes; disposing the part waits for it. */
  load<P extends Part>(id: number, make: () => Promise<P>): Promise<P>
  runner(id: number): SpanRunner
  ends(id: number): ModelEnds
  trainee<T>(id: number, work: (trainee: Trainee) => Promise<T>): Promise<T>
  /** A runner or ends. */
  patchable(id: number): Pick<SpanRunner | ModelEnds, 'loadPatch'>
  openSession(part: number, id: number, open: () => SpanSession | Promise<SpanSession>): ServedSession
  /** The part that `session` is of, and the session. */
  session(id: number): { readonly part: number; readonly served: ServedSession }
  placed(at: { readonly session: number; readonly length: number }): Placed
  closeSession(id: number): void
  keepPatch(part: number, id: number, patch: LoadedPatch): void
  patches(ids: readonly number[]): readonly LoadedPatch[]
  dropPatch(id: number): void
  /** Resolves once it is freed, also while it is still loading; an unknown one is no error: its loading may have failed. */
  dispose(id: number): Promise<void>
  disposeAll(): Promise<void>
  stats(): Omit<WorkerStats, 'residentBytes'>
}

export function createServedParts(): ServedParts {
  const parts = new Map<number, Part>()
  const loading = new Map<number, Promise<unknown>>()
  const sessions = new Map<number, { readonly part: number; readonly served: ServedSession }>()
  const patches = new Map<number, { readonly part: number; readonly patch: LoadedPatch }>()

  function known<T>(what: string, map: ReadonlyMap<number, T>, id: number): T {
    const found = map.get(id)
    if (found === undefined) throw new Error(`the worker has no ${what} ${id}`)
    return found
  }
  function partOf<K extends Part['kind']>(kind: K, id: number): Extract<Part, { kind: K }> {
    const part = known(kind, parts, id)
    if (part.kind !== kind) throw new Error(`part ${id} is a ${part.kind}, not a ${kind}`)
    return part as Extract<Part, { kind: K }>
  }

  function closeSession(id: number): void {
    const held = sessions.get(id)
    sessions.delete(id)
    if (held) void endInLine(held.served)
  }

  async function dispose(id: number): Promise<void> {
    await loading.get(id)?.catch(() => {})
    const part = parts.get(id)
    parts.delete(id)
    for (const [key, held] of sessions) if (held.part === id) sessions.delete(key)
    for (const [key, held] of patches) if (held.part === id) patches.delete(key)
    if (part) await disposePart(part)
  }

  return {
    async load(id, make) {
      const made = make()
      loading.set(id, made)
      try {
        const part = await made
        parts.set(id, part)
        return part
      } finally {
        loading.delete(id)
      }
    },
    runner: (id) => partOf('runner', id).runner,
    ends: (id) => partOf('ends', id).ends,
    async trainee(id, work) {
      const { trainee, inTurn } = partOf('trainee', id)
      return inTurn(() => work(trainee))
    },
    patchable: (id) => (parts.get(id)?.kind === 'ends' ? partOf('ends', id).ends : partOf('runner', id).runner),
    openSession(part, id, open) {
      const served = createServedSession(open)
      sessions.set(id, { part, served })
      return served
    },
    session: (id) => known('session', sessions, id),
    placed: ({ session, length }) => ({ served: known('session', sessions, session).served, length }),
    closeSession,
    keepPatch: (part, id, patch) => void patches.set(id, { part, patch }),
    patches: (ids) => ids.map((id) => known('patch', patches, id).patch),
    dropPatch(id) {
      patches.get(id)?.patch.dispose()
      patches.delete(id)
    },
    dispose,
    async disposeAll() {
      await Promise.all([...loading.keys(), ...parts.keys()].map(dispose))
    },
    stats: () => ({
      weightBytes: sum([...parts.values()].map(weightBytesOf)),
      cacheBytes: sum([...sessions.values()].map(({ served }) => served.current?.cacheBytes ?? 0)),
      patchBytes: sum([...patches.values()].map(({ patch }) => patch.weightBytes)),
      parts: parts.size,
      sessions: sessions.size,
      patches: patches.size,
    }),
  }
}

export function createInTurn(): InTurn {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const result = last.then(work)
    last = result.catch(() => {})
    return result
  }
}

async function disposePart(part: Part): Promise<void> {
  switch (part.kind) {
    case 'runner':
      return part.runner.dispose()
    case 'ends':
      return part.ends.dispose()
    case 'trainee':
      return part.trainee.dispose()
  }
}

/** A trainee does not say; its optimizer's state is what it does say. */
function weightBytesOf(part: Part): number {
  switch (part.kind) {
    case 'runner':
      return part.runner.weightBytes
    case 'ends':
      return part.ends.weightBytes
    case 'trainee':
      return part.trainee.optimizerStateBytes
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
