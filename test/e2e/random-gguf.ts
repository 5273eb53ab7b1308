/** GGUF files of models that were never trained: as large as a test needs, and the same every time. */
import type { Dtype, ModelConfig } from '#contracts/model/manifest.ts'
import { blockTensors, endTensors } from '#core/models/expected-tensors.ts'
import { anyPieces, ggufName, randomFill, scoredMetadata, shapeMetadata, writeGguf } from '#test/helpers/gguf-writer.ts'

export type Shape = Pick<
  ModelConfig,
  'hiddenSize' | 'intermediateSize' | 'blockCount' | 'headCount' | 'kvHeadCount' | 'contextLength'
>

/** Matrices of `dtype`; norms are ones. */
export async function writeRandomGguf(path: string, shape: Shape, dtype: Dtype): Promise<void> {
  const config: ModelConfig = {
    ...shape,
    architecture: 'llama',
    headSize: shape.hiddenSize / shape.headCount,
    vocabularySize: 512,
    rmsNormEpsilon: 1e-5,
    ropeTheta: 10_000,
    ropeStyle: 'interleaved',
    tiedHead: false,
  }
  const blocks = Array.from({ length: shape.blockCount }, (_, index) => blockTensors(config, index)).flat()
  const tensors = [...blocks, ...endTensors(config)].map(({ name, shape: dimensions }, seed) =>
    dimensions.length === 1
      ? { name: ggufName(name), dtype: 'F32' as const, shape: dimensions, fill: (chunk: Float32Array) => chunk.fill(1) }
      : { name: ggufName(name), dtype, shape: dimensions, fill: randomFill(seed + 1, shape.hiddenSize ** -0.5) },
  )
  await writeGguf(path, {
    metadata: { ...shapeMetadata(config), ...scoredMetadata(anyPieces(config.vocabularySize)) },
    tensors: tensors.map((tensor) => ({ ...tensor, fill: (chunk, start) => void tensor.fill(chunk, start) })),
  })
}
