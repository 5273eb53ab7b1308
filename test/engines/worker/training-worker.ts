/** A worker for tests that trains, over the models of the folder that it is given. */
import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { openParentChannel } from '#engines/worker/parent-channel.ts'
import { serveCompute } from '#engines/worker/serve-compute.ts'
import { openPublished } from './published-models.ts'

const [directory = ''] = process.argv.slice(2)

serveCompute({
  channel: openParentChannel(),
  engine: createReferenceEngine(),
  training: createTrainingEngine(),
  openModel: (digest) => openPublished(directory, digest),
  exit: () => process.exit(0),
})
