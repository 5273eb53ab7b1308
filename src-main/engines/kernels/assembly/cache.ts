/**
 * Pages of a KV cache. A page holds `pageSlots` consecutive positions of one sequence in one block: keys (kvHeads,
 * pageSlots, headSize), then values of the same shape. A page table is the list of a sequence's pages in that block,
 * as u32 pointers: position p is slot p mod pageSlots of page ⌊p / pageSlots⌋.
 */

/** Positions of a page; `kernels.ts` says the same number. */
export const pageSlots: usize = 32

/**
 * Copies rows into their slots. `keys`, `values`: (rows, rowStride), rows beginning with (kvHeads, headSize), at
 * consecutive positions from `position` on.
 */
export function storeKeyValues(
  keys: usize,
  values: usize,
  rowStride: usize,
  rows: usize,
  position: usize,
  pageTable: usize,
  kvHeads: usize,
  headSize: usize,
): void {
  const headBytes = headSize << 2
  const valuesOffset = kvHeads * pageSlots * headBytes
  for (let row: usize = 0; row < rows; row++) {
    const at = position + row
    let place = <usize>load<u32>(pageTable + ((at / pageSlots) << 2)) + (at % pageSlots) * headBytes
    for (let head: usize = 0; head < kvHeads; head++) {
      memory.copy(place, keys + head * headBytes, headBytes)
      memory.copy(place + valuesOffset, values + head * headBytes, headBytes)
      place += pageSlots * headBytes
    }
    keys += rowStride << 2
    values += rowStride << 2
  }
}
