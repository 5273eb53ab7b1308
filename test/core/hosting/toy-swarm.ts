/** Hosts of the toy model in one in-memory swarm, and a client that generates through them. */
import type { GenerateEvent } from '#contracts/api/chat.ts'
import { samplingSchema } from '#contracts/api/chat.ts'
import { digestSchema } from '#contracts/digest.ts'
import type { SessionRecord } from '#contracts/receipt/ledger-entry.ts'
import type { Span } from '#contracts/span.ts'
import { type GenerateOptions, generate } from '#core/generation/generate.ts'
import { openRoutedSession, type RoutedSessionInit } from '#core/hosting/routed-session.ts'
import { createSpanHost, type SpanHostLimits } from '#core/hosting/span-host.ts'
import type { SpanRunner } from '#core/ports/engine.ts'
import type { HostedSession, SpanHost } from '#core/ports/swarm.ts'
import { createFakeClock } from '#test/fakes/clock.ts'
import { createInMemoryLedgerStore, createKeptLedger } from '#test/fakes/in-memory-ledger-store.ts'
import { createInMemorySwarms } from '#test/fakes/in-memory-swarm.ts'
import { createToyRunner, toyConfig, toyEnds, toyTokenizer } from '../generation/toy-model.ts'

export const modelDigest = digestSchema.parse('ab'.repeat(32))

/** What a test does when a host is asked for something; it may throw in the host's place. */
export interface Interference {
  onOpen?(): void
  /** `call` counts the host's steps from 0, over all sessions. */
  onForward?(call: number): void
  /** Changes an answer. */
  answer?(output: Float32Array): Float32Array
}

/** A ledger whose entries and notes a test can look at. */
export function createLedger(peerId: string) {
  const kept = createKeptLedger()
  const store = createInMemoryLedgerStore({ identity: { peerId, sign: async () => new Uint8Array(64) }, kept })
  return {
    store,
    get records(): readonly SessionRecord[] {
      return kept.entries
    },
    get notes(): readonly SessionRecord[] {
      return [...kept.notes.values()].map(({ record }) => record)
    },
  }
}

export async function createToySwarm() {
  const clock = createFakeClock()
  const swarms = createInMemorySwarms({ clock })
  let ids = 0
  const newSessionId = () => `00000000-0000-4000-8000-${(ids++).toString(16).padStart(12, '0')}`

  async function host(
    peerId: string,
    span: Span,
    options: { interference?: Interference; limits?: Partial<SpanHostLimits>; offered?: Span } = {},
  ) {
    const runner = createToyRunner(span)
    const ledger = createLedger(peerId)
    const limits = { maxSessions: 8, maxSessionsPerPeer: 8, maxLength: 64, ...options.limits }
    const model = { modelDigest, hiddenSize: toyConfig.hiddenSize }
    const spanHost = createSpanHost({ runner, ledger: ledger.store, clock, ...model }, limits)
    const swarm = swarms.create(peerId)
    await swarm.start()
    swarm.serve(interfered(spanHost, options.interference ?? {}))
    const offer = {
      modelDigest,
      span: options.offered ?? span,
      maxLength: limits.maxLength,
      nodeName: `node ${peerId}`,
    }
    await swarm.offer(offer)
    return { peerId, runner, ledger, spanHost, swarm, offer: () => swarm.offer(offer) }
  }

  const client = swarms.create('client')
  await client.start()
  const ledger = createLedger('client')

  function openSession(init: Partial<RoutedSessionInit> & { local?: SpanRunner | null } = {}) {
    const { local = null, ...rest } = init
    const components = { swarm: client, local, clock, newSessionId, selfId: 'client', nodeName: 'my node' }
    return openRoutedSession(
      { ...components, ledger: ledger.store },
      { modelDigest, config: toyConfig, maxLength: 64, localOnly: false, searchTimeoutMs: 5, ...rest },
    )
  }

  return {
    clock,
    client,
    ledger,
    host,
    openSession,
    kill: (peerId: string) => swarms.kill(peerId),
    /** Generates through the swarm, or on `local` as far as it goes. */
    generate: (options: Partial<GenerateOptions> = {}, init: Parameters<typeof openSession>[0] = {}) =>
      toyGenerate(clock, (request) => openSession({ ...init, ...request }), options),
  }
}
export type ToySwarm = Awaited<ReturnType<typeof createToySwarm>>

function interfered(host: SpanHost, { onOpen, onForward, answer }: Interference): SpanHost {
  let call = 0
  return {
    async open(peerId, request) {
      onOpen?.()
      const session = await host.open(peerId, request)
      const forward: HostedSession['forward'] = async (...args) => {
        onForward?.(call++)
        const output = await session.forward(...args)
        return answer ? answer(output) : output
      }
      return { ...session, forward }
    },
  }
}

export const toyPrompt = 'it was a ' // with the begin token, ten tokens: three passes of four

export function toyGenerate(
  clock: Parameters<typeof generate>[0]['clock'],
  openPipeline: Parameters<typeof generate>[0]['openPipeline'],
  options: Partial<GenerateOptions> = {},
) {
  const failures: unknown[] = []
  const sampling = samplingSchema.parse({ temperature: 1, seed: 5 })
  const events = generate(
    {
      config: toyConfig,
      tokenizer: toyTokenizer,
      ends: toyEnds,
      clock,
      openPipeline,
      drawSeed: () => 1,
      onFailure: (error) => failures.push(error),
    },
    { prompt: toyPrompt, maxTokens: 11, sampling, prefillTokens: 4, ...options },
  )
  return { events, failures }
}

export interface Story {
  readonly events: readonly GenerateEvent[]
  readonly text: string
  readonly last: GenerateEvent
  readonly failures: readonly unknown[]
}

/** All of a generation, with a look at every event as it comes. */
export async function tell(
  { events, failures }: ReturnType<typeof toyGenerate>,
  look: (event: GenerateEvent) => void = () => {},
): Promise<Story> {
  const seen: GenerateEvent[] = []
  for await (const event of events) {
    look(event)
    seen.push(event)
  }
  const text = seen.map((event) => (event.type === 'text' ? event.text : '')).join('')
  const last = seen.at(-1)
  if (!last) throw new Error('no events')
  return { events: seen, text, last, failures }
}
