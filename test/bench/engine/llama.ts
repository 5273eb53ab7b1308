/** llama.cpp as the bench sees it: a process that is asked and answers. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { LlamaAnswer, LlamaRequest } from './llama-protocol.ts'

export interface Llama {
  ask(request: LlamaRequest): Promise<LlamaAnswer>
  stop(): Promise<void>
}

export function startLlama(): Llama {
  const child = fork(join(import.meta.dirname, 'llama-process.ts'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const ended = once(child, 'exit')
  return {
    async ask(request) {
      const answer = Promise.race([once(child, 'message'), ended.then(() => null)])
      child.send(request)
      const got = await answer
      if (got === null) throw new Error('llama.cpp ended')
      return got[0] as LlamaAnswer
    },
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
