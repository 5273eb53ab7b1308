import { Tensor } from 'onnxruntime-node'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { decodeFloatsInto } from '#core/numerics/dtypes.ts'
import type { LoadedHead } from '../shared/model-ends.ts'
import type { StoredEnds } from '../shared/read-weights.ts'
import { type HeadWeightName, headGraph } from './llama-graphs.ts'
import { createRuntimeSession } from './runtime-session.ts'
import { layOut } from './weight-layout.ts'

/** Final norm and head in a runtime session, as float32 (also when the head is the embedding, kept as stored elsewhere). */
export async function loadOnnxRuntimeHead(ends: StoredEnds, config: ModelConfig, threads: number): Promise<LoadedHead> {
  const { hiddenSize, vocabularySize } = config
  const layout = layOut<HeadWeightName>({ finalNorm: [hiddenSize], head: [vocabularySize, hiddenSize] })
  const staging = new Float32Array(layout.bytes / Float32Array.BYTES_PER_ELEMENT)
  for (const name of ['finalNorm', 'head'] as const) {
    decodeFloatsInto(layout.view(staging, name), ends[name].dtype, ends[name].bytes)
  }
  const session = await createRuntimeSession(headGraph(config, layout.weights), staging, threads)
  return {
    weightBytes: layout.bytes,
    async forward(hidden) {
      const tokens = hidden.length / hiddenSize
      const logits = new Float32Array(tokens * vocabularySize)
      await session.run(
        { x: new Tensor('float32', hidden, [1, tokens, hiddenSize]) },
        { logits: new Tensor('float32', logits, [1, tokens, vocabularySize]) },
      )
      return logits
    },
    dispose: () => session.release(),
  }
}
