/**
 * The drawing of a patch, as a piece of cloth: a column a block, a row a kind of tensor, darker where more of its numbers
 * change; tensors outside the blocks are a column of their own. Pure.
 */
import type { TensorChange } from '#contracts/api/patches.ts'
import { placeOf, shareOf, tensorName } from '../text/patches.ts'

export type Cell = { readonly column: number; readonly row: number; readonly shade: number; readonly name: string }

export type Cloth = {
  readonly columns: number
  readonly rows: number
  /** Blocks, by their column; the last column may hold what is in no block. */
  readonly blocks: number
  readonly hasOutside: boolean
  readonly cells: readonly Cell[]
  /** The share that is drawn darkest. */
  readonly darkest: number
}

/** Levels of shade; 0 is untouched cloth. */
export const shades = 5

/** `blockCount`: the model's, when it is known; blocks without a change are then drawn too. */
export function layCloth(tensors: readonly TensorChange[], blockCount: number | null): Cloth {
  const placed = tensors.map((tensor) => ({ tensor, place: placeOf(tensor.tensor), share: shareOf(tensor) }))
  const inside = placed.filter(({ place }) => place.block !== null)
  const outside = placed.filter(({ place }) => place.block === null)
  const roles = [...new Set(inside.map(({ place }) => place.role))]
  const blocks = Math.max(blockCount ?? 0, ...inside.map(({ place }) => (place.block ?? 0) + 1), 0)
  const darkest = Math.max(...placed.map(({ share }) => share), 0)
  // By the root: one tensor that changes as a whole must not make all others look alike.
  const shadeOf = (share: number) =>
    share === 0 || darkest === 0 ? 0 : Math.max(1, Math.round(Math.sqrt(share / darkest) * shades))
  return {
    columns: blocks + (outside.length > 0 ? 1 : 0),
    rows: Math.max(roles.length, outside.length, 1),
    blocks,
    hasOutside: outside.length > 0,
    darkest,
    cells: [
      ...inside.map(({ tensor, place, share }) => ({
        column: place.block ?? 0,
        row: roles.indexOf(place.role),
        shade: shadeOf(share),
        name: tensorName(tensor.tensor),
      })),
      ...outside.map(({ tensor, share }, row) => ({
        column: blocks,
        row,
        shade: shadeOf(share),
        name: tensorName(tensor.tensor),
      })),
    ],
  }
}
