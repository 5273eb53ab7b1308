import { createOnnxRuntimeEngine } from '#engines/onnxruntime/onnxruntime-engine.ts'
import { describeEngine } from '#test/compliance/engine.ts'

describeEngine('the onnxruntime engine', createOnnxRuntimeEngine, { tolerance: 1e-5 })
