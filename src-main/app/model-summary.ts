import type { ModelSummary } from '#contracts/api/node.ts'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import { storedBytes } from '#core/models/block-size.ts'

/** What people are shown of a model. */
export function summariseModel(manifest: ModelManifest): ModelSummary {
  const { digest, name, config, licence } = manifest
  return { digest, name, config, sizeBytes: storedBytes(manifest), licence }
}
