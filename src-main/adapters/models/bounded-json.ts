/**
 * JSON from a stranger's file. Parsing can take many times the memory of the text and silently keeps the last of two
 * equal keys; so the text is walked once beforehand, counting what it would allocate and comparing keys.
 */

export interface JsonLimits {
  /** Deepest nesting of objects and arrays. */
  readonly depth: number
  /** Values of every kind, wherever they stand. */
  readonly values: number
}

/** Throws `SyntaxError` that says what is wrong: a limit, a repeated key, bytes that are not UTF-8, or broken JSON. */
export function parseBoundedJson(bytes: Uint8Array, limits: JsonLimits): unknown {
  const text = decodeUtf8(bytes)
  checkStructure(text, limits)
  return JSON.parse(text)
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new SyntaxError('not UTF-8', { cause })
  }
}

/**
 * Jumps from one bracket, comma or string to the next. Each value is the first of its container or follows a comma, so
 * counting those bounds them all. Whatever else is wrong with the text, `JSON.parse` will find.
 */
function checkStructure(text: string, limits: JsonLimits): void {
  const keysOfOpen: (Set<string> | undefined)[] = []
  let values = 0
  const next = /[[\]{}",]/g
  for (let match = next.exec(text); match !== null; match = next.exec(text)) {
    const [mark] = match
    if (mark === '"') next.lastIndex = checkString(text, match.index, keysOfOpen.at(-1))
    else if (mark === ']' || mark === '}') keysOfOpen.pop()
    else {
      values++
      if (mark !== ',') keysOfOpen.push(mark === '{' ? new Set() : undefined)
    }
    if (values > limits.values) throw new SyntaxError(`more than ${limits.values} values`)
    if (keysOfOpen.length > limits.depth) throw new SyntaxError(`nested deeper than ${limits.depth}`)
  }
}

/** Remembers the string that starts at `start` if it is a key, and returns where it ends. */
function checkString(text: string, start: number, keys: Set<string> | undefined): number {
  const end = endOfString(text, start)
  if (keys === undefined || !isKey(text, end)) return end
  const key = String(JSON.parse(text.slice(start, end)))
  if (keys.has(key)) throw new SyntaxError(`the key ${JSON.stringify(key.slice(0, 100))} occurs twice`)
  keys.add(key)
  return end
}

function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0
    while (text[end - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) return end + 1
  }
  throw new SyntaxError('a string does not end')
}

function isKey(text: string, end: number): boolean {
  const colon = /[^ \t\n\r]/g
  colon.lastIndex = end
  return colon.exec(text)?.[0] === ':'
}
