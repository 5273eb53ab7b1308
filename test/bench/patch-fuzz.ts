/**
 * Patch files in hostile hands, for minutes: every mutant is refused by name or read as something sound, quickly, and in little
 * memory. `node test/bench/patch-fuzz.ts [minutes] [seed]`; one JSON object on stdout, and exit code 1 when one was neither.
 */
import { writePatch } from '#contracts/patch-file/write-patch.ts'
import { exampleDescription, fileOf, signer } from '#test/contracts/patch-file/example-patches.ts'
import { exampleSeeds, judge, type Mutant, mutate } from '#test/contracts/patch-file/mutations.ts'
import { createRandom } from '#test/fakes/model-handle.ts'
import { progress } from './report.ts'

const minutes = Number(process.argv[2] ?? 5)
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 31)
const maximumFailures = 10
/** What collecting garbage late may cost; a bomb would take gigabytes. */
const maximumGrownBytes = 512 << 20

const draw = createRandom(seed)
const random = () => (draw() + 1) / 2
const seeds = [...(await exampleSeeds()), await largerSeed('int8'), await largerSeed('bfloat16')]

/** Some thousand entries in a clustered and in an even mask, so that every index codec is among the seeds. */
async function largerSeed(valueFormat: 'int8' | 'bfloat16') {
  const even = Array.from({ length: 2_000 }, () => Math.floor(random() * 2 ** 18))
  const rows = Array.from(
    { length: 2_000 },
    () => 512 * Math.floor(8 * random() ** 2) + Math.floor(512 * random() ** 3),
  )
  const deltas = [even, rows].map((places, index) => {
    const indices = Uint32Array.from(new Set(places)).sort()
    const values = Float32Array.from(indices, () => random() - 0.5)
    return { tensor: `model.${index}`, shape: [512, 512], indices, values, fisher: values.map(Math.abs) }
  })
  const content = { deltas, scales: [], factors: [] }
  return await writePatch(content, exampleDescription(), { signer, valueFormat, fisher: true, sharedMask: false })
}

const outcomes: Record<Mutant['kind'], { read: number; refused: number }> = {
  bytes: { read: 0, refused: 0 },
  header: { read: 0, refused: 0 },
  section: { read: 0, refused: 0 },
}
const failures: { what: string; file: string }[] = []
const baseBytes = process.memoryUsage.rss()
let [mutants, slowestMs, peakBytes] = [0, 0, baseBytes]

const endMs = performance.now() + minutes * 60_000
for (let toldMs = performance.now(); performance.now() < endMs && failures.length < maximumFailures; mutants++) {
  const mutant = mutate(seeds, random)
  const startedMs = performance.now()
  try {
    outcomes[mutant.kind][await judge(mutant)]++
  } catch (error) {
    const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    failures.push({ what, file: Buffer.from(mutant.file).toString('base64') })
  }
  slowestMs = Math.max(slowestMs, performance.now() - startedMs)
  if (mutants % 256 === 0) peakBytes = Math.max(peakBytes, process.memoryUsage.rss())
  if (performance.now() - toldMs > 10_000) {
    toldMs = performance.now()
    progress(`${mutants} mutants, ${failures.length} failures`)
  }
}

const summary = {
  bench: 'patch-fuzz',
  seed,
  minutes,
  seeds: seeds.map((written) => fileOf(written).length),
  mutants,
  outcomes,
  slowestMs: Math.round(slowestMs),
  grownBytes: peakBytes - baseBytes,
  failures,
}
process.stdout.write(`${JSON.stringify(summary)}\n`)
process.exitCode = failures.length === 0 && peakBytes - baseBytes <= maximumGrownBytes ? 0 : 1
