/** llama.cpp in a process of its own, doing one thing at a time as the bench says. It ends with the bench. */
import type { LlamaAnswer, LlamaRequest } from './llama-protocol.ts'
import { importPeer } from './peers.ts'

/** node-llama-cpp, as far as it is used here. */
interface Library {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{
      createContext(options: object): Promise<{ getSequence(): Sequence }>
    }>
  }>
}
interface Sequence {
  clearHistory(): Promise<void>
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>
  evaluate(tokens: readonly number[], options: typeof likeliest & { yieldEogToken: true }): AsyncGenerator<number>
  controlledEvaluate(
    input: readonly (readonly [number, { generateNext: { token: true; options: typeof likeliest } }])[],
  ): Promise<readonly ({ next: { token?: number | null } } | undefined)[]>
}

const likeliest = { temperature: 0 } as const

let sequence: Sequence | null = null
let decoding: AsyncGenerator<number> | null = null

async function load({ path, threads, contextLength }: Extract<LlamaRequest, { kind: 'load' }>): Promise<void> {
  const { getLlama } = await importPeer<Library>('node-llama-cpp/dist/index.js')
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    maxThreads: threads,
    logLevel: 'error',
  })
  const model = await llama.loadModel({ modelPath: path, useMmap: true })
  const context = await model.createContext({ contextSize: contextLength, threads, batchSize: 512, sequences: 1 })
  sequence = context.getSequence()
}

async function run(request: LlamaRequest): Promise<readonly number[]> {
  if (request.kind === 'rest') return []
  if (request.kind === 'load') {
    await load(request)
    return []
  }
  if (sequence === null) throw new Error('nothing is loaded')
  if (request.kind === 'decode') return take(decoding, request.count)
  await decoding?.return(undefined)
  decoding = null
  await sequence.clearHistory()
  switch (request.kind) {
    case 'prefill':
      await sequence.evaluateWithoutGeneratingNewTokens(request.tokens)
      return []
    case 'begin':
      decoding = sequence.evaluate(request.tokens, { ...likeliest, yieldEogToken: true })
      return []
    case 'top1':
      return top1(sequence, request.tokens)
  }
}

async function top1(model: Sequence, tokens: readonly number[]): Promise<readonly number[]> {
  const wanted = { generateNext: { token: true, options: likeliest } } as const
  const answers = await model.controlledEvaluate(tokens.map((token) => [token, wanted] as const))
  return answers.map((answer) => answer?.next.token ?? -1)
}

async function take(tokens: AsyncGenerator<number> | null, count: number): Promise<readonly number[]> {
  const taken: number[] = []
  while (taken.length < count) {
    const next = await tokens?.next()
    if (next === undefined || next.done) throw new Error('llama.cpp stopped decoding')
    taken.push(next.value)
  }
  return taken
}

async function answer(request: LlamaRequest): Promise<LlamaAnswer> {
  const startedAtMs = performance.now()
  try {
    const tokens = await run(request)
    return { ms: performance.now() - startedAtMs, tokens, residentBytes: process.memoryUsage.rss() }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

process.on('message', async (request: LlamaRequest) => process.send?.(await answer(request)))
process.on('disconnect', () => process.exit())
