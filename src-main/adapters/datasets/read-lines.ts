/** Text as lines, each held whole and no longer than allowed: of a longer one only that it was there is told. */

export interface Line {
  /** From 1. */
  readonly number: number
  /** Null when it is longer than allowed. */
  readonly text: string | null
}

export async function* readLines(
  chunks: AsyncIterable<string>,
  maximumCharacters: number,
): AsyncGenerator<Line, void, undefined> {
  let number = 1
  let parts: string[] = []
  let length = 0
  const take = (): Line => {
    const line = { number, text: length > maximumCharacters ? null : parts.join('') }
    number++
    parts = []
    length = 0
    return line
  }
  const add = (part: string) => {
    length += part.length
    if (length > maximumCharacters) parts = []
    else parts.push(part)
  }
  for await (const chunk of chunks) {
    let begin = 0
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', begin)) {
      add(chunk.slice(begin, end))
      yield take()
      begin = end + 1
    }
    add(chunk.slice(begin))
  }
  if (length > 0) yield take()
}
