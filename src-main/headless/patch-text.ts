/** Patches in words for a terminal. What strangers wrote is shown without the characters that could steer it. */
import { shortDigest } from '#contracts/digest.ts'
import type { Metric, PatchHeader, PatchSection } from '#contracts/patch-file/header.ts'
import { formatBytes, formatTable } from './output.ts'

export interface DescribedPatch {
  readonly digest: string
  readonly header: PatchHeader
  readonly sizeBytes: number
}

/** One line of text: control characters, and those that turn the direction of writing, are shown as `?`. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, '?')
}

export function describePatch(patch: DescribedPatch): string {
  const { header } = patch
  const facts = [
    ['title', header.title],
    ['digest', patch.digest],
    ['base', `${header.base.name} (${shortDigest(header.base.digest)})`],
    ['author', header.author.name === '' ? header.author.peerId : `${header.author.name}, ${header.author.peerId}`],
    ['created', new Date(Math.min(header.createdAtMs, 8.64e15)).toISOString()],
    ['licence', header.licence],
    ['made by', describeOrigin(header)],
    ['changes', describeChanges(header.sections)],
    ['values', header.valueFormat],
    ['mask', describeMask(header)],
    ['parents', header.parents.map(shortDigest).join(' ') || 'none'],
    ['size', formatBytes(patch.sizeBytes)],
    ...(header.data === null ? [] : [['data', describeData(header.data)]]),
    ...(header.description === '' ? [] : [['about', header.description]]),
  ]
  const rows = facts.map(([name = '', value = '']) => [name, printable(value)])
  return [formatTable(rows), ...(header.metrics.length === 0 ? [] : ['', describeMetrics(header.metrics)])].join('\n')
}

export function countEntries(sections: readonly PatchSection[]): number {
  return sections.reduce((sum, section) => sum + entriesOf(section), 0)
}

function entriesOf(section: PatchSection): number {
  return section.kind === 'factors' ? section.rank * (section.shape[0] + section.shape[1]) : section.entries
}

function describeChanges(sections: readonly PatchSection[]): string {
  const words = { delta: 'sparse', scale: 'scaled', factors: 'low-rank' } as const
  const kinds = Object.entries(words)
    .map(([kind, word]) => [sections.filter((section) => section.kind === kind), word] as const)
    .filter(([chosen]) => chosen.length > 0)
  const parts = kinds.map(([chosen, word]) => `${count(countEntries(chosen))} numbers in ${chosen.length} ${word}`)
  return parts.join(', ')
}

function describeOrigin({ origin, training }: PatchHeader): string {
  if (training === null) return origin === 'train' ? 'training' : origin
  const { mask, hyperParameters: h } = training
  const share = mask === null ? '' : ` ${Number((100 * mask.keepRatio).toPrecision(3))} % ${mask.quota}`
  const steps = `${training.bestStep} of ${h.steps} steps of ${h.batchSize} x ${h.sequenceLength} tokens`
  return `${training.method}${share}, ${training.objective}, ${steps}, rate ${h.learningRate}, seed ${h.seed}`
}

function describeMask({ maskDigest, sharedMask }: PatchHeader): string {
  if (maskDigest === null) return 'none'
  return sharedMask ? `shared: ${maskDigest}` : `its own: ${maskDigest}`
}

function describeData(data: NonNullable<PatchHeader['data']>): string {
  const size = `${count(data.documents)} documents, ${count(data.trainingTokens)} tokens, ${count(data.heldOutTokens)} held out`
  const words = [
    data.description,
    data.licence && `licence ${data.licence}`,
    ...data.warnings.map((w) => `warning: ${w}`),
  ]
  return [size, ...words.filter((word) => word !== '')].join('; ')
}

function describeMetrics(metrics: readonly Metric[]): string {
  const rows = metrics.map(({ name, unit, before, after, gain, items }) => [
    printable(`${name} (${unit})`),
    short(before),
    short(after),
    `${short(gain.mean)} (${short(gain.low)} to ${short(gain.high)})`,
    String(items),
  ])
  return formatTable([['measure', 'before', 'after', 'gain (95 %)', 'items'], ...rows])
}

export function short(value: number): string {
  return String(Number(value.toPrecision(4)))
}

function count(value: number): string {
  return value.toLocaleString('en')
}
