/**
 * What the engine costs and gives, beside llama.cpp and TensorFlow.js: one JSON object on stdout, progress on stderr.
 * `node test/bench/engine.ts [--only speed,agreement,batch,training,patches] [--repetitions 20]`;
 * docs/experiments/engine.md says what each figure means.
 */
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { measureAgreement } from './engine/agreement.ts'
import { measureBatch } from './engine/batch.ts'
import { measurePatches } from './engine/patches.ts'
import { installPeers } from './engine/peers.ts'
import { measureSpeed } from './engine/speed.ts'
import { measureTraining } from './engine/training.ts'
import { progress, report } from './report.ts'

const sections = {
  speed: measureSpeed,
  agreement: measureAgreement,
  batch: measureBatch,
  training: measureTraining,
  patches: measurePatches,
}
type Section = keyof typeof sections
const all = Object.keys(sections) as Section[]

/** Throws `RangeError` for an unknown section or a number of repetitions that is none. */
function readArguments(): { readonly chosen: readonly Section[]; readonly repetitions: number } {
  const { values } = parseArgs({
    options: { only: { type: 'string', default: all.join() }, repetitions: { type: 'string', default: '20' } },
  })
  const named = values.only.split(',')
  const unknown = named.find((name) => !all.some((section) => section === name))
  if (unknown !== undefined) throw new RangeError(`no section ${unknown}; there are ${all.join(', ')}`)
  const repetitions = Number(values.repetitions)
  if (!Number.isInteger(repetitions) || repetitions < 1) throw new RangeError('--repetitions is a number from 1 on')
  return { chosen: all.filter((section) => named.includes(section)), repetitions }
}

const { chosen, repetitions } = readArguments()
installPeers()
/** Of the minute before, processes: what others are at. Threads that wait by spinning lose everything when cores are shared. */
const [loadBefore = 0] = loadavg()
progress(`load average before: ${loadBefore.toFixed(2)}`)
const figures: Record<string, number> = { load_average_before: loadBefore }
for (const section of chosen) {
  progress(`# ${section}`)
  Object.assign(figures, await sections[section](repetitions))
}
report('engine', figures)
