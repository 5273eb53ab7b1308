import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { describeEngine } from '#test/compliance/engine.ts'

describeEngine('the reference engine', createReferenceEngine, { tolerance: 1e-6 })
