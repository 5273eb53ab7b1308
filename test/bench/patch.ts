/**
 * How small a patch is and how fast it is packed (acceptance 3): one JSON object on stdout, progress on stderr.
 * `node test/bench/patch.ts [--only large,random,real]`; docs/formats/patch-file-codecs.md says what was found.
 */
import { parseArgs } from 'node:util'
import { measureLarge } from './patch/large.ts'
import { measureRandom } from './patch/random.ts'
import { measureReal } from './patch/real.ts'
import { progress, report } from './report.ts'

/** The large one first: what it takes at most is measured by the process's peak. */
const sections = { large: measureLarge, random: measureRandom, real: measureReal }
type Section = keyof typeof sections
const all = Object.keys(sections) as Section[]

/** Throws `RangeError` for an unknown section. */
function readArguments(): readonly Section[] {
  const { values } = parseArgs({ options: { only: { type: 'string', default: all.join() } } })
  const named = values.only.split(',')
  const unknown = named.find((name) => !all.some((section) => section === name))
  if (unknown !== undefined) throw new RangeError(`no section ${unknown}; there are ${all.join(', ')}`)
  return all.filter((section) => named.includes(section))
}

const figures: Record<string, number> = {}
for (const section of readArguments()) {
  progress(`# ${section}`)
  Object.assign(figures, await sections[section]())
}
report('patch', figures)
