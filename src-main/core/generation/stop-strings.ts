/**
 * Finds stop strings in text that arrives in pieces. Text that may still turn out to be the beginning of a stop string is
 * held back; everything else goes out at once. Of several stop strings the one that is complete first counts (of two
 * complete at the same character, the longer), so the result does not depend on where the pieces were cut.
 */

export interface StopScanner {
  /** `text` is safe to show. Once `stopped`, the stop string and all after it are dropped for good. */
  push(piece: string): { readonly text: string; readonly stopped: boolean }
  /** The text still held back, when no more will come. */
  end(): string
}

export function createStopScanner(stops: readonly string[]): StopScanner {
  let held = ''
  let stopped = false

  return {
    push(piece) {
      if (stopped) return { text: '', stopped }
      const text = held + piece
      const cut = firstStop(text, stops)
      stopped = cut !== null
      const safe = cut ?? text.length - openEnd(text, stops)
      held = stopped ? '' : text.slice(safe)
      return { text: text.slice(0, safe), stopped }
    },
    end() {
      const rest = held
      held = ''
      return rest
    },
  }
}

/** Where the first completed stop string starts, or null. */
function firstStop(text: string, stops: readonly string[]): number | null {
  let start: number | null = null
  let end = Number.POSITIVE_INFINITY
  for (const stop of stops) {
    const found = text.indexOf(stop)
    const foundEnd = found + stop.length
    if (found === -1 || foundEnd > end || (foundEnd === end && found > (start ?? 0))) continue
    start = found
    end = foundEnd
  }
  return start
}

/** Length of the longest end of `text` with which a stop string begins. */
function openEnd(text: string, stops: readonly string[]): number {
  let longest = 0
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length
    }
  }
  return longest
}
