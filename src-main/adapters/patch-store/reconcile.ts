/**
 * After a crash: rows and files brought to agree. Runs under the database's lock, so that what another process is doing at
 * this moment is seen before or after, never half done.
 */
import type { Digest } from '#contracts/digest.ts'
import type { PatchFiles } from './patch-files.ts'
import type { PatchRow, PatchRows } from './patch-rows.ts'

/** -> patches whose files are gone, or are not as long as they were. */
export function reconcile({ rows, files }: { readonly rows: PatchRows; readonly files: PatchFiles }): Digest[] {
  return rows.locked(() => {
    files.prepare()
    const lost = rows.all({}).flatMap((row) => settleRow(row, rows, files))
    for (const digest of files.wholeOnes()) if (rows.one(digest)?.complete !== 1) files.removeWhole(digest)
    for (const digest of files.arrivingOnes()) if (rows.one(digest)?.complete !== 0) files.removeArriving(digest)
    return lost
  })
}

function settleRow({ digest, complete, size_bytes: size }: PatchRow, rows: PatchRows, files: PatchFiles): Digest[] {
  const isWhole = files.sizeOf(files.wholePath(digest)) === size
  if (isWhole && complete === 0) rows.setComplete(digest)
  if (isWhole || (complete === 0 && files.sizeOf(files.arrivingPath(digest)) !== null)) return []
  rows.remove(digest)
  return complete === 1 ? [digest] : []
}
