/** Whether a whole patch is what it claims: every section decoded once, all that can be seen of it checked. */
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import type { PatchReader } from '#contracts/patch-file/read-patch.ts'

/**
 * Throws `PatchFormatError`. Without the mask that a patch shares, its values are looked at as if they stood at the first
 * places; whether the right mask fits shows when the patch is read.
 */
export async function checkContent(
  reader: PatchReader,
  mask: PatchContent | null,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { header } = reader.head
  if (!header.sharedMask || mask !== null) {
    await reader.readContent({ ...options, sharedMask: mask?.deltas })
    return
  }
  for (const [index, section] of header.sections.entries()) {
    options.signal?.throwIfAborted()
    const first = section.kind === 'delta' ? [{ tensor: section.tensor, indices: firstPlaces(section.entries) }] : []
    await reader.readSection(index, { ...options, sharedMask: first })
  }
}

function firstPlaces(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, place) => place)
}
