/**
 * Long text in pieces, as it streams by: a piece ends at a paragraph where it can, else at a line, a space, or between two
 * characters. Nothing is lost: the pieces joined are the text.
 */

/** Characters (UTF-16 code units) of a piece at most: tokenised within a fraction of a second. */
export const maximumPieceCharacters = 1 << 18

export interface TextPiece {
  readonly text: string
  /** Line of the text it begins in, from 1. */
  readonly line: number
}

export interface TextCutter {
  push(text: string): readonly TextPiece[]
  /** What is left; no piece is empty. */
  end(): readonly TextPiece[]
}

export function createTextCutter(maximum = maximumPieceCharacters, firstLine = 1): TextCutter {
  let buffer = ''
  let line = firstLine
  const take = (length: number): TextPiece => {
    const text = buffer.slice(0, length)
    const piece = { text, line }
    buffer = buffer.slice(length)
    line += countLines(text)
    return piece
  }
  return {
    push(text) {
      buffer += text
      const pieces: TextPiece[] = []
      while (buffer.length > maximum) pieces.push(take(findCut(buffer, maximum)))
      return pieces
    },
    end: () => (buffer === '' ? [] : [take(buffer.length)]),
  }
}

export function cutText(text: string, maximum = maximumPieceCharacters): readonly TextPiece[] {
  const cutter = createTextCutter(maximum)
  return [...cutter.push(text), ...cutter.end()]
}

export function countLines(text: string): number {
  let lines = 0
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines++
  return lines
}

/** Length of the first piece of `text`, which is longer than `maximum`: in the second half of what is allowed. */
function findCut(text: string, maximum: number): number {
  const least = maximum >> 1
  for (const end of ['\n\n', '\n', ' ']) {
    const at = text.lastIndexOf(end, maximum - end.length)
    if (at >= least) return at + end.length
  }
  const splitsPair = /[\ud800-\udbff]/.test(text.charAt(maximum - 1)) && /[\udc00-\udfff]/.test(text.charAt(maximum))
  return splitsPair && maximum > 1 ? maximum - 1 : maximum
}
