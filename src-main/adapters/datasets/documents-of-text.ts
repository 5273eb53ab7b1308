/**
 * Plain text and Markdown as documents. A file is one document, or several when it is long: plain text is cut into pieces
 * at paragraphs, Markdown first at its top-level headings. Markdown stays as it is written, but for front matter.
 */
import { createTextCutter, maximumPieceCharacters, type TextCutter, type TextPiece } from '#core/data/cut-text.ts'
import { DataFormatError } from '#core/errors.ts'
import { maximumRecordCharacters } from './limits.ts'
import { readLines } from './read-lines.ts'

/** Markdown up to this size stays in one piece. */
export const wholeMarkdownBytes = 64 * 1024
/** Front matter that is not closed within so many lines is none. */
const maximumFrontMatterLines = 500

/** Pieces of nothing but white space are left out. */
export async function* piecesOfText(chunks: AsyncIterable<string>): AsyncGenerator<TextPiece, void, undefined> {
  const cutter = createTextCutter()
  for await (const chunk of chunks) yield* written(cutter.push(chunk))
  yield* written(cutter.end())
}

/** Throws `DataFormatError` for a line that is longer than a record may be. */
export async function* piecesOfMarkdown(
  chunks: AsyncIterable<string>,
  { name, isLong }: { readonly name: string; readonly isLong: boolean },
): AsyncGenerator<TextPiece, void, undefined> {
  let cutter: TextCutter | null = null
  const fence = createFenceWatch()
  for await (const { number, text } of withoutFrontMatter(markdownLines(chunks, name))) {
    const isHeading = !fence.isInside(text) && /^# /.test(text)
    if (cutter !== null && isLong && isHeading) {
      yield* written(cutter.end())
      cutter = null
    }
    cutter ??= createTextCutter(maximumPieceCharacters, number)
    yield* written(cutter.push(text))
  }
  yield* written(cutter?.end() ?? [])
}

interface MarkdownLine {
  readonly number: number
  /** With its end. */
  readonly text: string
}

/** Lines between `---` (or `+++`) at the very start and the next such line are data for programs, not text. */
async function* withoutFrontMatter(lines: AsyncIterable<MarkdownLine>): AsyncGenerator<MarkdownLine, void, undefined> {
  let held: MarkdownLine[] | null = null
  let mark: string | null = null
  for await (const line of lines) {
    if (line.number === 1 && /^(---|\+\+\+)\s*$/.test(line.text)) {
      mark = line.text.trim()
      held = [line]
    } else if (held === null) yield line
    else if (line.text.trim() === mark) held = null
    else if (held.push(line) > maximumFrontMatterLines) {
      yield* held
      held = null
    }
  }
  if (held !== null) yield* held
}

async function* markdownLines(
  chunks: AsyncIterable<string>,
  name: string,
): AsyncGenerator<MarkdownLine, void, undefined> {
  for await (const { number, text } of readLines(chunks, maximumRecordCharacters)) {
    if (text === null) throw new DataFormatError(`${name}:${number}`, 'a line is too long: break it, or call it .txt')
    yield { number, text: `${text}\n` }
  }
}

/** Between ``` or ~~~ lines a # is not a heading. */
function createFenceWatch(): { isInside(line: string): boolean } {
  let open: string | null = null
  return {
    isInside(line) {
      const fence = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1]
      const wasOpen = open !== null
      if (fence !== undefined) {
        if (open === null) open = fence
        else if (fence.startsWith(open) && line.trim() === fence) open = null
      }
      return wasOpen || fence !== undefined
    },
  }
}

function written(pieces: readonly TextPiece[]): readonly TextPiece[] {
  return pieces.filter(({ text }) => text.trim() !== '')
}
