/**
 * `npm run bench:fish`: what masks are worth on real text. Every method on every text and size: learning rate by a
 * validation split (at the first seed), then three seeds, measured on text that neither saw. One JSON object on stdout;
 * `--details FILE` keeps every cell, for the table and curves of docs/experiments/patches.md (`fish/write-report.ts`).
 * Cells are kept in the system's temporary folder: a bench that was cut goes on where it was.
 */
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { installPeers } from './engine/peers.ts'
import { openSeedling } from './engine/seedling.ts'
import { type CellResult, type CellSpec, createCells } from './fish/cell.ts'
import { type Method, maskMethods, ratesFor } from './fish/methods.ts'
import { writeOwnText } from './fish/own-text.ts'
import { type Domain, domains, readTexts } from './fish/texts.ts'
import { progress, report } from './report.ts'

type Configuration = Pick<CellSpec, 'domain' | 'method' | 'keepRatio' | 'protectedShare' | 'ownText'>
export interface Summary extends Configuration {
  readonly learningRate: number
  readonly cells: readonly CellResult[]
}

const seeds = [0, 1, 2] as const
const sizes = [0.001, 0.005, 0.02] as const

const { values: options } = parseArgs({
  options: { details: { type: 'string' }, domain: { type: 'string' }, threads: { type: 'string', default: '2' } },
})

installPeers()
const model = await openSeedling(join(tmpdir(), 'quiltbee-bench-fish-none'))
const texts = await readTexts(model)
const engine = createTrainingEngine()
const threads = Number(options.threads)
let written: ReturnType<typeof writeOwnText> | null = null
const ownText = () => {
  written ??= writeOwnText(engine, model, threads)
  return written
}
const cells = createCells({ engine, model, texts, ownText }, { threads })

const summaries: Summary[] = []
for (const domain of domains.filter((one) => options.domain === undefined || one === options.domain)) {
  for (const configuration of configurationsOf(domain)) {
    const summary = await measure(configuration)
    summaries.push(summary)
    progress(describe(summary))
  }
}
await model.close()
if (options.details !== undefined) await writeFile(options.details, `${JSON.stringify(summaries, null, 1)}\n`)
if (options.domain === undefined) report('fish', figures())

function configurationsOf(domain: Domain): Configuration[] {
  const plain = (method: Method, keepRatio: number) => ({ domain, method, keepRatio, protectedShare: 0 })
  const whole = (['full', 'lora', 'ia3'] as const).map((method) => plain(method, 1))
  const masks = sizes.flatMap((keepRatio) => maskMethods.map((method) => plain(method, keepRatio)))
  const guarded = [0.125, 0.25].map((protectedShare) => ({ ...plain('default', 0.005), protectedShare }))
  const byItself = guarded.map((configuration) => ({ ...configuration, ownText: true }) as const)
  if (domain === 'moby-dick') return [...whole, ...masks, ...guarded, ...byItself]
  const some = masks.filter(
    ({ method, keepRatio }) => keepRatio !== 0.001 && ['default', 'fish', 'random'].includes(method),
  )
  return [...whole.slice(0, 1), ...some, ...guarded.slice(1)]
}

/** The rate of the best validation gain at the first seed; a list whose end is best is made longer. */
async function measure(configuration: Configuration): Promise<Summary> {
  const { ownText: _, ...unguarded } = configuration
  const learningRate = await rateOf({ ...unguarded, protectedShare: 0 })
  const runs: CellResult[] = []
  for (const seed of seeds) runs.push(await cells.run({ ...configuration, learningRate, seed }))
  return { ...configuration, learningRate, cells: runs }
}

async function rateOf(configuration: Configuration): Promise<number> {
  const tried = new Map<number, number>()
  const attempt = async (learningRate: number) => {
    const { validationGain } = await cells.run({ ...configuration, learningRate, seed: seeds[0] })
    tried.set(learningRate, Number.isFinite(validationGain) ? validationGain : Number.NEGATIVE_INFINITY)
  }
  for (const rate of ratesFor(configuration.method, configuration.keepRatio)) await attempt(rate)
  for (let extensions = 0; extensions < 3; extensions++) {
    const best = bestOf(tried)
    const [lowest, highest] = [Math.min(...tried.keys()), Math.max(...tried.keys())]
    if (best !== lowest && best !== highest) break
    await attempt(Number((best === highest ? best * 2 : best / 2).toPrecision(2)))
  }
  return bestOf(tried)
}

function bestOf(tried: ReadonlyMap<number, number>): number {
  return [...tried].reduce((a, b) => (b[1] > a[1] ? b : a))[0]
}

function figures(): Record<string, number> {
  const gain = (method: Method, keepRatio: number, domain: Domain = 'moby-dick') =>
    mean(find({ domain, method, keepRatio, protectedShare: 0 }), 'gain')
  const plain = find({ domain: 'moby-dick', method: 'default', keepRatio: 0.005, protectedShare: 0 })
  const guarded = find({
    domain: 'moby-dick',
    method: 'default',
    keepRatio: 0.005,
    protectedShare: 0.25,
    ownText: undefined,
  })
  const byItself = find({
    domain: 'moby-dick',
    method: 'default',
    keepRatio: 0.005,
    protectedShare: 0.25,
    ownText: true,
  })
  return {
    fish_over_random_gain: gain('default', 0.005) / gain('random', 0.005),
    fish05_over_full: gain('default', 0.005) / gain('full', 1),
    fish2_over_full: gain('default', 0.02) / gain('full', 1),
    email_fish_over_random_gain: gain('default', 0.005, 'e-mail') / gain('random', 0.005, 'e-mail'),
    email_fish05_over_full: gain('default', 0.005, 'e-mail') / gain('full', 1, 'e-mail'),
    plain_fish_over_random_gain: gain('fish', 0.005) / gain('random', 0.005),
    plain_fish05_over_full: gain('fish', 0.005) / gain('full', 1),
    forgotten: mean(plain, 'forgotten'),
    protected_forgotten_ratio: mean(guarded, 'forgotten') / mean(plain, 'forgotten'),
    protected_gain_ratio: mean(guarded, 'gain') / mean(plain, 'gain'),
    own_text_forgotten_ratio: mean(byItself, 'forgotten') / mean(plain, 'forgotten'),
    own_text_gain_ratio: mean(byItself, 'gain') / mean(plain, 'gain'),
    int8_gain_lost: 1 - roundedGain(plain, 'int8') / mean(plain, 'gain'),
    bfloat16_gain_lost: 1 - roundedGain(plain, 'bfloat16') / mean(plain, 'gain'),
  }
}

function find(wanted: Omit<Configuration, 'ownText'> & { readonly ownText?: true | undefined }): Summary {
  const matches = (one: Summary) => Object.entries(wanted).every(([key, value]) => one[key as keyof Summary] === value)
  const found = summaries.find(matches)
  if (found === undefined) throw new Error(`no cells of ${JSON.stringify(wanted)}`)
  return found
}

function mean({ cells: runs }: Summary, key: 'gain' | 'forgotten'): number {
  return runs.reduce((sum, cell) => sum + cell[key], 0) / runs.length
}

function roundedGain({ cells: runs }: Summary, format: string): number {
  return runs.reduce((sum, { rounded }) => sum + (rounded[format] ?? Number.NaN), 0) / runs.length
}

function describe(summary: Summary): string {
  const { domain, method, keepRatio, protectedShare, learningRate, cells: runs } = summary
  const spread = runs.map(({ gain }) => gain.toFixed(3)).join(' ')
  const guarded = protectedShare > 0 ? `, ${protectedShare} protected${summary.ownText ? ' by its own text' : ''}` : ''
  return `${domain} ${method} ${keepRatio}${guarded}: rate ${learningRate}, gain ${mean(summary, 'gain').toFixed(3)} (${spread}), forgotten ${mean(summary, 'forgotten').toFixed(3)}`
}
