/**
 * Entry of the process that tries a backend: `probe-process.ts onnxruntime-webgpu` prints a `ProbeReport` as one line of
 * JSON. A driver that breaks takes this process with it and no other.
 */
import { knownBackend } from './known-backends.ts'
import { probeHere } from './probe-here.ts'
import { createScratchWeights } from './scratch-weights.ts'

const known = knownBackend(process.argv[2] ?? '')
const report = await probeHere(() => known.create({ weightCache: createScratchWeights() }))
// Drivers may leave threads behind that never end.
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0))
