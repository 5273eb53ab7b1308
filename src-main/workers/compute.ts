/** Entry of a compute worker, a process or a thread: one backend, serving the models of this machine to the node. */
import { setPriority } from 'node:os'
import { isMainThread } from 'node:worker_threads'
import { createModelStore } from '#adapters/models/store.ts'
import { openParentChannel } from '#engines/worker/parent-channel.ts'
import { serveCompute } from '#engines/worker/serve-compute.ts'
import { fromArguments } from './compute-options.ts'
import { createCompute } from './create-compute.ts'

const options = fromArguments(process.argv.slice(2))
// Before the runtime starts threads of its own, which take over this one's priority.
// On Linux a priority is a thread's own, so that a worker thread can stand back too.
const hasOwnPriority = isMainThread || process.platform === 'linux'
if (hasOwnPriority && options.niceness > 0) setPriority(options.niceness)
const channel = openParentChannel()
const { directory, embedded } = options.models
const models = createModelStore({ directory, readOnly: embedded })

serveCompute({
  channel,
  ...(await createCompute(options)),
  openModel: (digest) => models.open(digest),
  exit: () => process.exit(0),
})
