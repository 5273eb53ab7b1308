/** llama.cpp as the bench sees it: a process that is asked, one thing at a time, and answers. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { LlamaAnswer, LlamaRequest } from './llama-protocol.ts'

export interface Llama extends AsyncDisposable {
  /** Throws when llama.cpp fails or its process ends. */
  ask(request: LlamaRequest): Promise<Exclude<LlamaAnswer, { error: string }>>
}

export interface LoadedLlama extends Llama {
  readonly loadMs: number
  /** Before anything was loaded. */
  readonly initialBytes: number
}

export async function startLlama(path: string, init: { threads: number; contextLength: number }): Promise<LoadedLlama> {
  const llama = startProcess()
  try {
    const { residentBytes: initialBytes } = await llama.ask({ kind: 'rest' })
    const { ms: loadMs } = await llama.ask({ kind: 'load', path, ...init })
    return { ...llama, loadMs, initialBytes }
  } catch (error) {
    await llama[Symbol.asyncDispose]()
    throw error
  }
}

function startProcess(): Llama {
  const child = fork(join(import.meta.dirname, 'llama-process.ts'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const ended = once(child, 'exit').then(() => null)
  return {
    async ask(request) {
      const answered = Promise.race([once(child, 'message'), ended])
      child.send(request)
      const answer = (await answered)?.[0] as LlamaAnswer | undefined
      if (answer === undefined) throw new Error('the process of llama.cpp ended')
      if ('error' in answer) throw new Error(`llama.cpp: ${answer.error}`)
      return answer
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
