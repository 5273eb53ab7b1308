/** A process that never finishes the file it prepares: `node endless-writer.ts <directory> <key as JSON>`. */
import { createWeightCache } from '#adapters/files/weight-cache.ts'

const [directory = '', key = ''] = process.argv.slice(2)

await createWeightCache({ directory }).prepare(JSON.parse(key), async (append) => {
  await append(new Uint8Array(100_000))
  process.stdout.write('written\n')
  await new Promise((resolve) => setTimeout(resolve, 600_000))
})
