/** What this machine computes with: which engine in which weight format for a model, and the engines themselves. */

import type { EngineInUse } from '#contracts/api/node.ts'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import type { Engine } from './engine.ts'

export type { EngineInUse } from '#contracts/api/node.ts'

export interface ChooseRequest {
  readonly threads: number
  /** For weights. */
  readonly memoryBytes: number
  readonly signal?: AbortSignal
  /** Told while measuring, which takes seconds and happens once for a shape of model. */
  readonly onMeasuring?: (progress: { readonly done: number; readonly total: number }) => void
}

export interface Compute {
  /** Throws `EngineFailedError` when nothing works here. */
  choose(manifest: ModelManifest, request: ChooseRequest): Promise<EngineInUse>
  /** The engine of that backend, started when first wanted. Throws `EngineFailedError`. */
  engine(backend: string): Promise<Engine>
  /** Memory that engines take outside of this process. */
  residentBytes(): Promise<number>
  /** Told when an engine broke: what it held is gone. -> how to stop listening */
  onFailure(listener: (backend: string, error: Error) => void): () => void
}
