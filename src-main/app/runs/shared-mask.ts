import type { Digest } from '#contracts/digest.ts'
import { PatchNotFoundError } from '#core/errors.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'
import type { TrainingRunComponents } from '#core/training/run-types.ts'

/**
 * The mask called `name`: by its own digest. Throws `PatchNotFoundError` when no patch of this machine has it with its
 * indices.
 */
export async function sharedMaskOf(
  library: Pick<PatchLibrary, 'read' | 'withMask'>,
  mask: Digest,
  signal: AbortSignal,
): Promise<NonNullable<TrainingRunComponents['mask']>> {
  const holder = await library.withMask(mask)
  if (holder === null) throw new PatchNotFoundError(`with mask ${mask}`)
  const { deltas } = await library.read(holder.digest, { signal })
  return deltas.map(({ tensor, indices }) => ({ tensor, indices }))
}
