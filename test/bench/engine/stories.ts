/** stories260K (Karpathy's tinyllamas), whose greedy text its author published: float32 must tell the same story. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createModelStore } from '#adapters/models/store.ts'
import { parseLlama2cVocabulary } from '#adapters/models/tokenizer-llama2c-format.ts'
import { type GgufMetadata, scoredMetadata } from '#test/helpers/gguf-writer.ts'
import { hasShared, sharedPath } from '#test/helpers/shared.ts'
import { progress } from '../report.ts'
import { loadModel, startCompute } from './compute.ts'
import { greedy } from './decoding.ts'
import { exportGguf } from './exported-model.ts'
import { startLlama } from './llama.ts'

/** What llama2.c prints for the model with temperature 0. */
const published =
  'Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. ' +
  "She wanted to play with it, but it was too high.\nLily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do."
const count = 64
const begin = 1

/** In `folder`, which the caller removes. Without the model (it is laid beside the checkout) there is no figure. */
export async function compareStories(folder: string): Promise<Record<string, number>> {
  if (!hasShared('models/stories260K')) {
    progress('stories260K is not here: greedy64_equal is left out')
    return {}
  }
  const store = createModelStore({ directory: join(folder, 'models') })
  const { digest } = await store.import(sharedPath('models/stories260K/stories260K.bin'))
  await using parts = new AsyncDisposableStack()
  const original = parts.adopt(await store.open(digest), (model) => model.close())
  const path = join(folder, 'stories260K.gguf')
  await exportGguf(path, original, { dtype: 'F32', tokenizer: await storiesTokenizer() })
  const fromGguf = await createModelStore({ directory: join(folder, 'from-gguf') }).import(path, { name: 'stories' })
  const model = parts.adopt(
    await createModelStore({ directory: join(folder, 'from-gguf') }).open(fromGguf.digest),
    (opened) => opened.close(),
  )
  const compute = parts.use(
    await startCompute({ models: join(folder, 'from-gguf'), prepared: join(folder, 'prepared') }),
  )
  const loaded = parts.use(await loadModel(compute.engine, model, { threads: 1, format: 'float32' }))
  const [ours = []] = await greedy(loaded, [{ prompt: [begin] }], count)
  const llama = parts.use(await startLlama(path, { threads: 1, contextLength: 256 }))
  await llama.ask({ kind: 'begin', tokens: [begin] })
  const { tokens: theirs } = await llama.ask({ kind: 'decode', count })
  const story = (await model.tokenizer()).decode(ours)
  progress(`stories260K: ${JSON.stringify(story)}`)
  const equal = ours.length === count && ours.join() === theirs.join() && published.startsWith(story.trim())
  return { greedy64_equal: Number(equal) }
}

/** The pieces of `tok512.bin`, as llama.cpp's converter writes them. */
async function storiesTokenizer(): Promise<GgufMetadata> {
  const { pieces, score } = parseLlama2cVocabulary(await readFile(sharedPath('models/stories260K/tok512.bin')), 512)
  const control = ['<unk>', '<s>', '</s>']
  const typeOf = (id: number) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1)
  return scoredMetadata(
    pieces.map((piece, id) => ({
      text: control[id] ?? piece.replaceAll(' ', '▁'),
      score: score(id),
      type: typeOf(id),
    })),
  )
}
