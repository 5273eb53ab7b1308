/** A worker for tests: the reference engine, over the models of the folder that it is given. */
import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { openParentChannel } from '#engines/worker/parent-channel.ts'
import { serveCompute } from '#engines/worker/serve-compute.ts'
import { openPublished } from './published-models.ts'

const [directory = ''] = process.argv.slice(2)

serveCompute({
  channel: openParentChannel(),
  engine: createReferenceEngine(),
  training: null,
  openModel: (digest) => openPublished(directory, digest),
  exit: () => process.exit(0),
})
