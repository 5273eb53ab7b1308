/** What a path names: a Hugging Face folder, a GGUF file, a llama2.c checkpoint, a folder with one, or nothing we can read. */
import { join } from 'node:path'
import { InvalidInputError } from '#contracts/errors.ts'
import { statOrNull, systemCode } from './files.ts'
import { findGguf, isGguf, openGguf } from './gguf.ts'
import { openHuggingFace } from './huggingface.ts'
import { findLlama2cCheckpoint, openLlama2c } from './llama2c.ts'
import type { ModelSource } from './model-source.ts'

/** Throws `InvalidInputError` for a path with no model, and the format's own named errors for a broken one. */
export async function openModelSource(path: string): Promise<ModelSource> {
  if (path === '' || path.includes('\0')) throw new InvalidInputError('path', 'not a path')
  const found = await statOrNull(path).catch((cause: unknown) => {
    throw new InvalidInputError('path', `cannot be read (${systemCode(cause) ?? 'unknown'})`, { cause })
  })
  if (found === null) throw new InvalidInputError('path', 'there is nothing at this path')
  if (found.isDirectory()) return openFolder(path)
  if (path.endsWith('.gguf') || (await isGguf(path))) return openGguf(path)
  if (path.endsWith('.bin')) return openLlama2c(path)
  throw new InvalidInputError('path', 'neither a folder, nor a GGUF file, nor a .bin file')
}

async function openFolder(path: string): Promise<ModelSource> {
  if ((await statOrNull(join(path, 'config.json'))) !== null) return openHuggingFace(path)
  const [gguf, checkpoint] = [await findGguf(path), await findLlama2cCheckpoint(path)]
  if (gguf !== null && checkpoint !== null) {
    throw new InvalidInputError('path', 'the folder holds a .gguf file and a .bin checkpoint; name one')
  }
  if (gguf !== null) return openGguf(gguf)
  if (checkpoint !== null) return openLlama2c(checkpoint)
  throw new InvalidInputError('path', 'the folder holds neither a config.json, nor a .gguf file, nor a .bin checkpoint')
}
