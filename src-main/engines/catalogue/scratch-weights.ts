import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { WeightCache } from '#core/ports/weight-cache.ts'

/** Weights for the moment of a probe: each file in a folder of its own, gone when released. */
export function createScratchWeights(directory = tmpdir()): WeightCache {
  return {
    async prepare(_key, write) {
      const folder = await mkdtemp(join(directory, 'quiltbee-probe-'))
      const release = () => rm(folder, { recursive: true, force: true })
      const path = join(folder, 'weights')
      try {
        return { path, byteLength: await writeFile(path, write), release }
      } catch (error) {
        await release()
        throw error
      }
    },
  }
}

async function writeFile(path: string, write: Parameters<WeightCache['prepare']>[1]): Promise<number> {
  const file = await open(path, 'wx', 0o600)
  let byteLength = 0
  try {
    await write(async (bytes) => {
      await file.appendFile(bytes)
      byteLength += bytes.byteLength
    })
  } finally {
    await file.close()
  }
  return byteLength
}
