import { createBlockEngine } from '#engines/blocks/block-engine.ts'
import { createTfjsBackend } from '#engines/tfjs/tfjs-backend.ts'
import { describeEngine } from '#test/compliance/engine.ts'

describeEngine('TensorFlow.js on WASM as an engine', () => createBlockEngine(createTfjsBackend('wasm')), {
  tolerance: 1e-5,
  gradientTolerance: 1e-4,
})
