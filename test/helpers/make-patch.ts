/** Patches as a node's owner makes them: signed, whole, of any size. */
import type { Digest } from '#contracts/digest.ts'
import type { PatchDescription } from '#contracts/patch-file/header.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { type WritePatchOptions, type WrittenPatch, writePatch } from '#contracts/patch-file/write-patch.ts'
import type { Identity } from '#core/ports/keys.ts'
import { exampleBase, exampleDescription, signer } from '#test/contracts/patch-file/example-patches.ts'

export interface MadePatch extends WrittenPatch {
  readonly bytes: Uint8Array
}

export interface PatchRecipe extends Partial<Pick<WritePatchOptions, 'sharedMask' | 'valueFormat'>> {
  readonly by?: Identity
  readonly title?: string
  readonly base?: Digest
  readonly parents?: readonly Digest[]
  /** One section each. */
  readonly tensors?: number
  /** Changed entries of each. */
  readonly entries?: number
}

/** The same recipe gives the same patch; another title another digest, and other values. */
export async function makePatch(recipe: PatchRecipe = {}): Promise<MadePatch> {
  const { by = signer, title = 'Whales', base = exampleBase, tensors = 3, entries = 500 } = recipe
  const description: Partial<PatchDescription> = {
    title,
    author: { peerId: by.peerId, name: '' },
    base: { digest: base, name: 'seedling' },
    parents: [...(recipe.parents ?? [])],
    training: null,
  }
  const { sharedMask = false, valueFormat = 'float32' } = recipe
  const options = { signer: by, valueFormat, fisher: false, sharedMask }
  const written = await writePatch(contentOf(title, tensors, entries), exampleDescription(description), options)
  return { ...written, bytes: new Uint8Array(Buffer.concat([written.head, ...written.sections])) }
}

function contentOf(title: string, tensors: number, entries: number): PatchContent {
  const seed = [...title].reduce((sum, letter) => sum * 31 + (letter.codePointAt(0) ?? 0), 7) % 1_009
  const deltas = Array.from({ length: tensors }, (_, tensor) => ({
    tensor: `model.layers.${String(tensor).padStart(3, '0')}.mlp.up_proj.weight`,
    shape: [entries, 16],
    indices: Uint32Array.from({ length: entries }, (_, entry) => entry * 16 + ((entry * 7 + tensor) % 16)),
    values: Float32Array.from({ length: entries }, (_, entry) => Math.sin(entry * (tensor + 1) + seed)),
    fisher: null,
  }))
  return { deltas, scales: [], factors: [] }
}

/** In pieces that know nothing of sections. */
export async function* pieces(bytes: Uint8Array, size = 1_000): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += size) yield bytes.slice(offset, offset + size)
}
