import { describe, expect, test } from 'vitest'
import { type GenerateEvent, generateEventSchema, type Hop, samplingSchema } from '#contracts/api/chat.ts'
import { MissingBlocksError } from '#core/errors.ts'
import { type GenerateComponents, type GenerateOptions, generate } from '#core/generation/generate.ts'
import type { Pipeline, PipelineRequest } from '#core/generation/pipeline.ts'
import { createSampler } from '#core/generation/sampler.ts'
import type { Tokenizer } from '#core/ports/model-store.ts'
import { createFakeClock } from '#test/fakes/clock.ts'
import { createToyRunner, toyConfig, toyEnds, toyTokenizer } from './toy-model.ts'

const whole = { start: 0, end: toyConfig.blockCount }
const hop: Hop = { peerId: 'me', nodeName: null, local: true, span: whole }
const sampled = samplingSchema.parse({ temperature: 1, seed: 5 })

interface Step {
  readonly tokens: number
  readonly signal: AbortSignal | undefined
}

/** The toy model as a pipeline, and what was asked of it. */
function createWorld(
  init: {
    tokenizer?: Partial<Tokenizer>
    components?: Partial<GenerateComponents>
    onStep?: (step: number) => void
  } = {},
) {
  const clock = createFakeClock()
  const runner = createToyRunner(whole)
  const steps: Step[] = []
  const outcomes: string[] = []
  const failures: unknown[] = []
  const logitsSizes: number[] = []
  let request: PipelineRequest | null = null

  async function openPipeline(asked: PipelineRequest): Promise<Pipeline> {
    request = asked
    const session = runner.openSession({ maxLength: asked.maxLength })
    return {
      hops: [hop],
      async forward(hidden, { signal } = {}) {
        init.onStep?.(steps.length)
        steps.push({ tokens: hidden.length / toyConfig.hiddenSize, signal })
        clock.advance(10)
        return await session.forward(hidden)
      },
      reports: () => [{ ...hop, tokensIn: 1, tokensOut: 2, bytesSent: 0, bytesReceived: 0, outcome: 'completed' }],
      async close(outcome) {
        if (outcomes.length === 0) session.dispose()
        outcomes.push(outcome)
      },
    }
  }

  const components: GenerateComponents = {
    config: toyConfig,
    tokenizer: { ...toyTokenizer, ...init.tokenizer },
    ends: {
      ...toyEnds,
      logits(hidden, options) {
        logitsSizes.push(hidden.length)
        return toyEnds.logits(hidden, options)
      },
    },
    clock,
    openPipeline,
    drawSeed: () => 77,
    onFailure: (error) => failures.push(error),
    ...init.components,
  }
  return {
    clock,
    runner,
    steps,
    outcomes,
    failures,
    logitsSizes,
    get request() {
      return request
    },
    run: (options: Partial<GenerateOptions> = {}) =>
      generate(components, { prompt: 'a tale ', maxTokens: 12, sampling: sampled, ...options }),
  }
}

async function all(events: AsyncIterable<GenerateEvent>): Promise<GenerateEvent[]> {
  const seen: GenerateEvent[] = []
  for await (const event of events) seen.push(generateEventSchema.parse(event))
  return seen
}

function textOf(events: readonly GenerateEvent[]): string {
  return events.map((event) => (event.type === 'text' ? event.text : '')).join('')
}

describe('generating', () => {
  test('sends the route, the prompt, the text piece by piece, and one end', async () => {
    const world = createWorld()
    const events = await all(world.run())
    expect(events.map(({ type }) => type)).toEqual(['route', 'prompt', ...new Array<string>(12).fill('text'), 'end'])
    expect(events[0]).toEqual({ type: 'route', hops: [hop], lostPeerId: null })
    expect(events[1]).toEqual({ type: 'prompt', tokens: 8, milliseconds: 10 })
    expect(events.at(-1)).toMatchObject({ reason: 'length', tokens: 12, seed: 5, tokensPerSecond: 100 })
    expect(world.outcomes[0]).toBe('completed')
    expect(world.runner.openSessions).toBe(0)
  })

  test('gives the tokens that running the whole text at once gives', async () => {
    const text = textOf(await all(createWorld().run()))
    const sample = createSampler({ ...sampled, seed: 5 })
    const tokens = [0, ...toyTokenizer.encode('a tale ')]
    for (let i = 0; i < 12; i++) {
      const session = createToyRunner(whole).openSession({ maxLength: 64 })
      const hidden = await session.forward(await toyEnds.embed(tokens))
      tokens.push(sample(await toyEnds.logits(hidden.subarray(hidden.length - toyConfig.hiddenSize))))
    }
    expect(text).toBe(toyTokenizer.decode(tokens.slice(8)))
  })

  test('runs the prompt in pieces and the head only on the last position', async () => {
    const world = createWorld()
    const events = await all(world.run({ prefillTokens: 3, maxTokens: 2 }))
    expect(world.steps.map(({ tokens }) => tokens)).toEqual([3, 3, 2, 1])
    expect(world.logitsSizes).toEqual([toyConfig.hiddenSize, toyConfig.hiddenSize])
    expect(textOf(events)).toBe(textOf(await all(createWorld().run({ maxTokens: 2 }))))
  })

  test('asks for no more positions than it can need', async () => {
    const world = createWorld()
    await all(world.run({ maxTokens: 5 }))
    expect(world.request?.maxLength).toBe(12)
    expect(world.steps.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(12)
  })

  test('begins from the begin token alone when the prompt is empty', async () => {
    const world = createWorld()
    const events = await all(world.run({ prompt: '' }))
    expect(events[1]).toMatchObject({ type: 'prompt', tokens: 1 })
    expect(textOf(events)).toHaveLength(12)
  })

  test('refuses an empty prompt when the model has no begin token', async () => {
    const world = createWorld({ tokenizer: { beginToken: null } })
    expect(await all(world.run({ prompt: '' }))).toMatchObject([{ type: 'error', code: 'invalid-input', tokens: 0 }])
  })

  test('draws a seed when none is given, and tells it', async () => {
    const events = await all(createWorld().run({ sampling: { ...sampled, seed: null } }))
    expect(events.at(-1)).toMatchObject({ seed: 77 })
    expect(textOf(events)).toBe(textOf(await all(createWorld().run({ sampling: { ...sampled, seed: 77 } }))))
  })

  test('lets the prompt decide how the text continues', async () => {
    // As SentencePiece does: the space before the very first word is dropped, the spaces before later words are not.
    const decodeStream = () => {
      let first = true
      return {
        push() {
          const text = first ? 'word' : ' word'
          first = false
          return text
        },
        end: () => '',
      }
    }
    const events = await all(createWorld({ tokenizer: { decodeStream } }).run({ maxTokens: 2 }))
    expect(textOf(events)).toBe(' word word')
  })

  test('tells of a new route once the step that changed it is done', async () => {
    const moved: Hop = { ...hop, peerId: 'other' }
    const world = createWorld({
      onStep: (step) => step === 2 && world.request?.onRouteChange({ hops: [moved], lostPeerId: 'me' }),
    })
    const events = await all(world.run({ maxTokens: 3 }))
    expect(events.map(({ type }) => type)).toEqual(['route', 'prompt', 'text', 'text', 'route', 'text', 'end'])
    expect(events[4]).toEqual({ type: 'route', hops: [moved], lostPeerId: 'me' })
  })
})

describe('ending', () => {
  test('an end token ends the text and is not part of it', async () => {
    const text = textOf(await all(createWorld().run()))
    const stopAt = toyTokenizer.encode(text)[4] ?? 0
    const events = await all(createWorld({ tokenizer: { endTokens: [stopAt] } }).run())
    const before = text.slice(0, toyTokenizer.encode(text).indexOf(stopAt))
    expect(textOf(events)).toBe(before)
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'end-token', tokens: before.length })
  })

  test('a stop string over several tokens ends the text before it', async () => {
    const text = textOf(await all(createWorld().run()))
    const stop = text.slice(5, 8)
    const events = await all(createWorld().run({ sampling: { ...sampled, stop: [stop] } }))
    expect(textOf(events)).toBe(text.slice(0, text.indexOf(stop)))
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'stop-string', tokens: text.indexOf(stop) + 3 })
  })

  test('text held back for a stop string that never came is given out at the end', async () => {
    const text = textOf(await all(createWorld().run()))
    const events = await all(createWorld().run({ sampling: { ...sampled, stop: [`${text.slice(-2)}#`] } }))
    expect(textOf(events)).toBe(text)
    expect(events.at(-1)).toMatchObject({ reason: 'length', tokens: 12 })
  })

  test('what the decoder still held may complete a stop string', async () => {
    const decodeStream = () => ({ push: () => '', end: () => 'the END' })
    const events = await all(
      createWorld({ tokenizer: { decodeStream } }).run({ sampling: { ...sampled, stop: ['END'] } }),
    )
    expect(textOf(events)).toBe('the ')
    expect(events.at(-1)).toMatchObject({ reason: 'stop-string' })
  })

  test('the text ends where the context does', async () => {
    const events = await all(createWorld().run({ maxTokens: 1000 }))
    // 8 tokens of prompt; the last of 64 positions still yields a token.
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'length', tokens: 57 })
  })

  test('a prompt that fills the context still gets one token, a longer one is refused', async () => {
    expect((await all(createWorld().run({ prompt: 'x'.repeat(63) }))).at(-1)).toMatchObject({
      reason: 'length',
      tokens: 1,
    })
    expect(await all(createWorld().run({ prompt: 'x'.repeat(64) }))).toMatchObject([
      { type: 'error', code: 'context-too-long', params: { wanted: 65, maximum: 64 } },
    ])
  })
})

describe('failing and stopping', () => {
  test('a failure in the middle keeps the text so far and ends with one error', async () => {
    const text = textOf(await all(createWorld().run()))
    const error = new MissingBlocksError([{ start: 2, end: 4 }])
    const world = createWorld({
      onStep: (step) => {
        if (step === 6) throw error
      },
    })
    // The stop string makes the scanner hold text back: it must come out too.
    const sampling = { ...sampled, stop: [`${text.slice(4, 6)}#`] }
    const events = await all(world.run({ sampling }))
    expect(textOf(events)).toBe(text.slice(0, 6))
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'missing-blocks', params: { blocks: '2:4' }, tokens: 6 })
    expect(events.filter(({ type }) => type === 'error' || type === 'end')).toHaveLength(1)
    expect(world.outcomes[0]).toBe('interrupted')
    expect(world.failures).toEqual([error])
    expect(world.runner.openSessions).toBe(0)
  })

  test('a pipeline that cannot be opened is an error event', async () => {
    const openPipeline = async () => {
      throw new MissingBlocksError([{ start: 0, end: 1 }])
    }
    expect(await all(createWorld({ components: { openPipeline } }).run())).toMatchObject([{ code: 'missing-blocks' }])
  })

  test('an unforeseen failure has the code internal, and fails the sessions', async () => {
    const world = createWorld({
      onStep: () => {
        throw new TypeError('oops')
      },
    })
    const events = await all(world.run())
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'internal', params: { what: 'oops' } })
    expect(world.outcomes[0]).toBe('failed')
  })

  test('broken logits are a named error', async () => {
    const ends = { ...toyEnds, logits: async () => new Float32Array(33).fill(Number.NaN) }
    const events = await all(createWorld({ components: { ends } }).run())
    expect(events.at(-1)).toMatchObject({ type: 'error', params: { where: 'logits' } })
  })

  test('an abort ends it at the next step, as cancelled, whatever the reason given', async () => {
    const controller = new AbortController()
    const world = createWorld({ onStep: (step) => step === 4 && controller.abort(new Error('window closed')) })
    const events = await all(world.run({ signal: controller.signal }))
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'cancelled', tokens: 4 })
    expect(world.steps.every(({ signal }) => signal === controller.signal)).toBe(true)
    expect(world.outcomes[0]).toBe('completed')
    expect(world.failures).toEqual([])
  })

  test('a reader who leaves ends the sessions', async () => {
    const world = createWorld()
    for await (const event of world.run()) {
      if (event.type === 'text' && event.tokens === 2) break
    }
    expect(world.outcomes).toEqual(['completed'])
    expect(world.runner.openSessions).toBe(0)
  })
})
