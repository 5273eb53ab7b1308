import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { describeEngineConformance } from '#test/compliance/engine-conformance.ts'

describeEngineConformance('the reference engine', createReferenceEngine)
