/**
 * How far back attention looks, from a Hugging Face config. Mistral's window holds in every block; Qwen's in those from
 * `max_window_layers` on, when it is used at all; `layer_types` says it block by block. The manifest knows one window for
 * all blocks, so a window in some of them only is refused by name.
 */
import * as z from 'zod'
import type { Architecture } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'

export const windowFieldsSchema = z.looseObject({
  num_hidden_layers: z.int().min(1),
  sliding_window: z.int().min(1).nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().min(0).nullish(),
  layer_types: z.array(z.string().max(64)).max(4096).nullish(),
})
export type WindowFields = z.infer<typeof windowFieldsSchema>

/** Pure. Null when attention looks all the way back. Throws `ModelUnsupportedError` or `ModelFormatError`. */
export function parseSlidingWindow(raw: WindowFields, architecture: Architecture): number | null {
  const window = declaredWindow(raw, architecture)
  const sliding = slidingBlocks(raw, window, architecture)
  if (sliding === 0) return null
  if (sliding === raw.num_hidden_layers) return window
  throw new ModelUnsupportedError(`sliding_window in ${sliding} of ${raw.num_hidden_layers} blocks`)
}

function declaredWindow(raw: WindowFields, architecture: Architecture): number | null {
  switch (architecture) {
    case 'llama':
      return null
    case 'mistral':
      return raw.sliding_window === undefined ? 4096 : raw.sliding_window
    case 'qwen2':
    case 'qwen3':
      return raw.use_sliding_window === true ? (raw.sliding_window ?? null) : null
  }
}

/** In how many blocks attention looks back no further than the window. Only Qwen's classes choose by `layer_types`. */
function slidingBlocks(raw: WindowFields, window: number | null, architecture: Architecture): number {
  const chooses = window !== null && (architecture === 'qwen2' || architecture === 'qwen3')
  const first = chooses ? (raw.max_window_layers ?? 28) : 0
  const unsaid = window === null ? 0 : Math.max(0, raw.num_hidden_layers - first)
  if (raw.layer_types === null || raw.layer_types === undefined) return unsaid
  const sliding = countSliding(raw.layer_types, raw.num_hidden_layers)
  if (!chooses && sliding !== unsaid) throw new ModelUnsupportedError(`layer_types with sliding_window ${window}`)
  return sliding
}

function countSliding(types: readonly string[], blocks: number): number {
  const unknown = types.find((type) => type !== 'full_attention' && type !== 'sliding_attention')
  if (unknown !== undefined) throw new ModelUnsupportedError(`layer_types ${unknown}`)
  if (types.length !== blocks) {
    throw new ModelFormatError('config.json layer_types', `${types.length} for ${blocks} blocks`)
  }
  return types.filter((type) => type === 'sliding_attention').length
}
