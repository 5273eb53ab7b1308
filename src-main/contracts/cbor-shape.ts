/**
 * The outline of CBOR bytes (RFC 8949, section 3), walked without recursion or allocation before any decoder sees them, so
 * that nesting and length bombs end here.
 */

export interface ShapeLimits {
  readonly depth: number
  /** Items of every kind, counted over all of the bytes. */
  readonly items: number
}

/** What is wrong with the outline of one CBOR value; null when nothing is. Strings are stepped over. */
export function findShapeFault(bytes: Uint8Array, { depth, items: maximumItems }: ShapeLimits): string | null {
  const open: number[] = [1] // items still to come, per level
  let offset = 0
  let items = 0
  while (open.length > 0) {
    const left = open.pop() ?? 0
    if (left === 0) continue
    open.push(left - 1)
    const head = readHead(bytes, offset)
    if (typeof head === 'string') return head
    offset = head.end
    items += 1
    if (items > maximumItems) return `more than ${maximumItems} items`
    if (head.major === majorBytes || head.major === majorText) offset += head.value
    if (offset > bytes.length) return 'ends inside a string'
    const children = head.major === majorArray ? head.value : head.major === majorMap ? head.value * 2 : 0
    if (children > bytes.length) return 'has fewer items than it says'
    if (children > 0) open.push(children)
    if (open.length > depth + 1) return `nested deeper than ${depth}`
  }
  return offset === bytes.length ? null : 'bytes left over'
}

const majorBytes = 2
const majorText = 3
const majorArray = 4
const majorMap = 5
const majorTag = 6

function readHead(bytes: Uint8Array, offset: number): { major: number; value: number; end: number } | string {
  const first = bytes[offset]
  if (first === undefined) return 'cut short'
  const major = first >> 5
  const info = first & 31
  if (major === majorTag) return 'has a tag'
  if (info > 27) return 'has an item without a length'
  const width = info < 24 ? 0 : 2 ** (info - 24)
  const end = offset + 1 + width
  if (end > bytes.length) return 'cut short'
  let value = info < 24 ? info : 0
  for (let index = offset + 1; index < end; index += 1) value = value * 256 + (bytes[index] ?? 0)
  return { major, value, end }
}
