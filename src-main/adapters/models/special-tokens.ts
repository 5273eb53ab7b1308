/** Finds tokens that are written out in a text: the leftmost first, and of those that begin there the longest. */

export type TextOrToken = string | number

/** `tokens`: text -> id. The splitter returns text and ids in order, never two texts in a row, never an empty one. */
export function createSpecialSplitter(tokens: ReadonlyMap<string, number>): (text: string) => TextOrToken[] {
  const lengthsOf = lengthsByFirstUnit(tokens)
  return (text) => {
    const parts: TextOrToken[] = []
    let textStart = 0
    for (let at = 0; at < text.length; ) {
      const length = lengthsOf.get(text.charCodeAt(at))?.find((each) => tokens.has(text.slice(at, at + each)))
      const token = length === undefined ? undefined : tokens.get(text.slice(at, at + length))
      if (length === undefined || token === undefined) {
        at++
        continue
      }
      if (at > textStart) parts.push(text.slice(textStart, at))
      parts.push(token)
      at += length
      textStart = at
    }
    if (textStart < text.length) parts.push(text.slice(textStart))
    return parts
  }
}

/** First UTF-16 unit -> lengths of the tokens that begin with it, longest first. */
function lengthsByFirstUnit(tokens: ReadonlyMap<string, number>): ReadonlyMap<number, readonly number[]> {
  const lengths = new Map<number, Set<number>>()
  for (const text of tokens.keys()) {
    if (text === '') continue
    const unit = text.charCodeAt(0)
    lengths.set(unit, (lengths.get(unit) ?? new Set()).add(text.length))
  }
  return new Map([...lengths].map(([unit, set]) => [unit, [...set].sort((a, b) => b - a)]))
}
