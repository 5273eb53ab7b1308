/** Of a set and what it leaves out, the smaller: a mask of more than half of all places is told by the others. */

/** How many places are written for a set of `entries`. */
export function fewerCount(places: number, entries: number): number {
  return 2 * entries > places ? places - entries : entries
}

/** The set itself, or the places that it leaves out. */
export function fewerOf(indices: Uint32Array, places: number): Uint32Array {
  return 2 * indices.length > places ? othersOf(indices, places) : indices
}

/** The set of `entries` of which `fewer` was written. */
export function setOfFewer(
  fewer: Uint32Array<ArrayBuffer>,
  { places, entries }: { readonly places: number; readonly entries: number },
): Uint32Array<ArrayBuffer> {
  return 2 * entries > places ? othersOf(fewer, places) : fewer
}

function othersOf(indices: Uint32Array, places: number): Uint32Array<ArrayBuffer> {
  const others = new Uint32Array(places - indices.length)
  let next = 0
  let place = 0
  for (let i = 0; i <= indices.length; i++) {
    const end = i < indices.length ? (indices[i] as number) : places
    while (place < end) others[next++] = place++
    place++
  }
  return others
}
