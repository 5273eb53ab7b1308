/** A worker for tests that does not even begin as one should. */
import { writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { channelDescriptor } from '#engines/worker/child-process.ts'
import { openParentChannel } from '#engines/worker/parent-channel.ts'
import { protocolVersion } from '#engines/worker/protocol.ts'

const channel = openParentChannel()
const numericsClass = {
  backend: 'b',
  kernelVersion: '1',
  weights: 'float32',
  weightGroup: null,
  activations: 'float32',
}
const description = { backend: 'b', numericsClasses: [numericsClass], trains: false }

switch (process.argv[3]) {
  case 'is newer':
    channel.send({ head: { kind: 'hello', protocol: protocolVersion + 1, description }, arrays: [] })
    break
  case 'writes noise':
    if (isMainThread) writeSync(channelDescriptor, Buffer.alloc(4096, 0xff))
    else channel.send({ head: 'noise', arrays: [] })
}
channel.listen({ onPacket() {}, onEnd: () => process.exit(0) })
