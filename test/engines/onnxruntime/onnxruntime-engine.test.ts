import { createTemporaryWeightCache } from '#adapters/files/weight-cache.ts'
import { createBlockEngine } from '#engines/blocks/block-engine.ts'
import { createOnnxruntimeBackend } from '#engines/onnxruntime/onnxruntime-backend.ts'
import { describeEngine } from '#test/compliance/engine.ts'
import { roundedWeights } from './rounding.ts'

/** Integer products round their activations, too, to one in 127 of a group's largest; over two blocks that adds up. */
const withRoundedActivations = { tolerance: 4e-2 }

describeEngine(
  'the engine on onnxruntime',
  () => createBlockEngine(createOnnxruntimeBackend({ weightCache: createTemporaryWeightCache() })),
  {
    tolerance: 2e-5,
    formats: { float16: { tolerance: 2e-5 }, int8: withRoundedActivations, int4: withRoundedActivations },
    roundWeights: roundedWeights,
  },
)
