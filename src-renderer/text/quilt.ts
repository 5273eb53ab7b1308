/** The quilt in words: what the drawing of the model's blocks shows, for those who do not see it and those who want it exact. */
import type { BlockCoverage } from '#contracts/api/node.ts'
import type { Span } from '#contracts/span.ts'
import { formatPlural, formatSpans } from './format.ts'

/** A block is at risk when the loss of one peer, or of none, leaves nobody to run it. */
export function isAtRisk(block: BlockCoverage): boolean {
  return block.holders.length <= 1
}

/** `no holder`, `only you`, `1 holder`, `3 holders`. */
export function holdersInWords(block: BlockCoverage): string {
  if (block.holders.length === 0) return 'no holder'
  if (block.holders.length === 1 && block.mine) return 'only you'
  return formatPlural(block.holders.length, 'holder')
}

/** Runs of consecutive blocks that satisfy a condition. */
export function spansWhere(coverage: readonly BlockCoverage[], holds: (block: BlockCoverage) => boolean): Span[] {
  const spans: Span[] = []
  for (const block of coverage.filter(holds)) {
    const last = spans.at(-1)
    if (last !== undefined && last.end === block.block)
      spans[spans.length - 1] = { start: last.start, end: block.block + 1 }
    else spans.push({ start: block.block, end: block.block + 1 })
  }
  return spans
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1)
}

/** One sentence on how safe the model is now, gaps first. */
export function coverageSentence(coverage: readonly BlockCoverage[]): string {
  if (coverage.length === 0) return 'No model is hosted here yet. Its blocks appear when one is loaded.'
  const gaps = spansWhere(coverage, (block) => block.holders.length === 0)
  if (gaps.length > 0) return `Nobody holds ${formatSpans(gaps)}: text cannot be generated until someone does.`
  const single = coverage.filter(isAtRisk)
  if (single.length === 0) return `Every block has at least two holders: the loss of any one peer stops nobody.`
  if (single.every((block) => block.mine)) return onlyYou(single, coverage.length)
  const spans = spansWhere(coverage, isAtRisk)
  const verb = single.length === 1 ? 'has' : 'have'
  return `${capital(formatSpans(spans))} ${verb} only one holder: if that peer leaves, text generation stops.`
}

function onlyYou(single: readonly BlockCoverage[], total: number): string {
  const which = single.length === total ? 'every block' : formatSpans(spansWhere(single, () => true))
  return `You are the only holder of ${which}: while you pause, nobody else can run ${single.length === 1 ? 'it' : 'them'}.`
}

/** What a screen reader hears instead of the drawing. */
export function quiltSummary(coverage: readonly BlockCoverage[]): string {
  const mine = spansWhere(coverage, (block) => block.mine)
  const yours = mine.length === 0 ? 'You hold none.' : `You hold ${formatSpans(mine)}.`
  return `The model as a quilt of ${formatPlural(coverage.length, 'block')}. ${yours} ${coverageSentence(coverage)}`
}
