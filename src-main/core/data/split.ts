/**
 * Which text is trained on and which is set aside to measure with. A hash decides, so that a document is on the same side
 * today and tomorrow, whatever else is in the data.
 *
 * A document is one unit; one of more than `longWindows` windows is several, each a run of windows that follow one another,
 * so that a book alone can be split too. Windows share no target; a unit's neighbours are of the same book, as text to be
 * measured with must be. One unit alone is split at its windows, the last tenth set aside.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'

export const heldOutShare = 0.1
export const longWindows = 20
const maximumSectionWindows = 16

/** Windows of each section of a document, in order; one section for a document that is not long. */
export function sectionLengths(windows: number): number[] {
  if (windows <= longWindows) return windows === 0 ? [] : [windows]
  const length = Math.min(maximumSectionWindows, Math.floor(windows / 10))
  const sections = Math.floor(windows / length)
  return Array.from({ length: sections }, (_, index) => (index < sections - 1 ? length : windows - index * length))
}

/** Where a unit stands among all: hexadecimal, evenly spread. */
export function splitKey(documentDigest: string, section: number): string {
  return bytesToHex(sha256(utf8ToBytes(`quiltbee/split/1\n${documentDigest}\n${section}`)))
}

/** Pure. How many of `keys` (ascending) are set aside: those below the share, yet one at least and never all. */
export function heldOutCount(keys: readonly string[]): number {
  if (keys.length < 2) return 0
  const below = keys.filter((key) => Number.parseInt(key.slice(0, 12), 16) < heldOutShare * 2 ** 48).length
  return Math.min(Math.max(below, 1), keys.length - 1)
}

/** How many windows of a unit that is alone are set aside, from its end: a tenth of its tokens, and never all. */
export function heldOutWindows(windowTokens: readonly number[]): number {
  const wanted = heldOutShare * windowTokens.reduce((sum, tokens) => sum + tokens, 0)
  let [heldOut, tokens] = [0, 0]
  while (heldOut < windowTokens.length - 1 && tokens < wanted) {
    heldOut++
    tokens += windowTokens[windowTokens.length - heldOut] ?? 0
  }
  return heldOut
}
