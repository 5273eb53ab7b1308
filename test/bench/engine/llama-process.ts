/** llama.cpp in a process of its own, doing one thing at a time as the bench says. */
import type { LlamaAnswer, LlamaRequest } from './llama-protocol.ts'
import { importPeer } from './peers.ts'

interface Sequence {
  clearHistory(): Promise<void>
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>
  evaluate(tokens: readonly number[], options: { temperature: number }): AsyncGenerator<number>
  controlledEvaluate(
    input: readonly (readonly [number, { generateNext: { token: true; options: { temperature: number } } }])[],
  ): Promise<readonly ({ next: { token?: number } } | undefined)[]>
}
interface Library {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{
      createContext(options: object): Promise<{ getSequence(): Sequence }>
    }>
  }>
}

let sequence: Sequence | null = null
let decoding: AsyncGenerator<number> | null = null

async function load({ path, threads, contextLength }: Extract<LlamaRequest, { kind: 'load' }>): Promise<void> {
  const { getLlama } = await importPeer<Library>('node-llama-cpp/dist/index.js')
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: threads, logLevel: 'error' })
  const model = await llama.loadModel({ modelPath: path, useMmap: true })
  const context = await model.createContext({ contextSize: contextLength, threads, batchSize: 512, sequences: 1 })
  sequence = context.getSequence()
}

async function run(request: LlamaRequest): Promise<readonly number[]> {
  if (request.kind === 'load') {
    await load(request)
    return []
  }
  if (sequence === null) throw new Error('nothing is loaded')
  switch (request.kind) {
    case 'prefill':
      decoding = null
      await sequence.clearHistory()
      await sequence.evaluateWithoutGeneratingNewTokens(request.tokens)
      return []
    case 'decode':
      decoding ??= sequence.evaluate([300, 301, 302, 303], { temperature: 0 })
      return take(decoding, request.count)
    case 'greedy':
      await sequence.clearHistory()
      return take(sequence.evaluate(request.tokens, { temperature: 0 }), request.count)
    case 'top1': {
      await sequence.clearHistory()
      const wanted = { generateNext: { token: true, options: { temperature: 0 } } } as const
      const answers = await sequence.controlledEvaluate(request.tokens.map((token) => [token, wanted] as const))
      return answers.map((answer) => answer?.next.token ?? -1)
    }
  }
}

async function take(tokens: AsyncGenerator<number>, count: number): Promise<readonly number[]> {
  const taken: number[] = []
  while (taken.length < count) {
    const { value, done } = await tokens.next()
    if (done) break
    taken.push(value)
  }
  return taken
}

process.on('message', async (request: LlamaRequest) => {
  const startedAtMs = performance.now()
  const tokens = await run(request)
  const answer: LlamaAnswer = {
    ms: performance.now() - startedAtMs,
    tokens,
    residentBytes: process.memoryUsage.rss(),
  }
  process.send?.(answer)
})
