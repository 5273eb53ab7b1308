/**
 * What a training step costs, in one run: at a mask of half a percent and of everything, beside TensorFlow.js on WASM; and the
 * memory of it beside running the model. One JSON object on stdout, progress on stderr.
 * `node test/bench/train.ts [--only speed,memory] [--repetitions 20]`
 */
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { installPeers } from './engine/peers.ts'
import { measureTraining } from './engine/training.ts'
import { measureTrainingMemory } from './engine/training-memory.ts'
import { progress, report } from './report.ts'

const { values } = parseArgs({
  options: { only: { type: 'string', default: 'speed,memory' }, repetitions: { type: 'string', default: '20' } },
})
const sections = values.only.split(',')
const repetitions = Number(values.repetitions)
if (!Number.isInteger(repetitions) || repetitions < 1) throw new RangeError('--repetitions is a number from 1 on')
if (!sections.every((section) => section === 'speed' || section === 'memory')) {
  throw new RangeError(`no such section in ${values.only}; there are speed and memory`)
}

installPeers()
/** Of the minute before, processes: what others are at. */
const [loadBefore = 0] = loadavg()
progress(`load average before: ${loadBefore.toFixed(2)}`)
const figures: Record<string, number> = { load_average_before: loadBefore }
if (sections.includes('speed')) Object.assign(figures, await measureTraining(repetitions))
if (sections.includes('memory')) Object.assign(figures, await measureTrainingMemory())
report('train', figures)
