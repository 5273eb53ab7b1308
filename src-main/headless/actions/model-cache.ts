import { dataDirectory } from '#adapters/files/data-directory.ts'
import { createWeightCache, type WeightCacheUsage } from '#adapters/files/weight-cache.ts'
import { formatBytes, print, printJson } from '../output.ts'

export async function showCache(options: { clear?: true; json?: true }): Promise<void> {
  const cache = createWeightCache({ directory: dataDirectory().preparedWeights })
  const cleared = options.clear ? await cache.clear() : null
  const usage = await cache.usage()
  if (options.json) return printJson({ ...usage, cleared })
  if (cleared !== null) print(`Removed ${describe(cleared)}.`)
  print(usage.files === 0 ? 'No prepared weights.' : `Prepared weights: ${describe(usage)}.`)
}

function describe({ files, bytes }: WeightCacheUsage): string {
  return `${files} ${files === 1 ? 'file' : 'files'}, ${formatBytes(bytes)}`
}
