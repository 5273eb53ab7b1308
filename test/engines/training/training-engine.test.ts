import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { describeTrainingEngine } from '#test/compliance/training-engine.ts'

describeTrainingEngine('the training engine', createTrainingEngine, { tolerance: 2e-5 })

describeTrainingEngine(
  'the training engine that keeps nothing between the passes',
  () => createTrainingEngine({ keptBytes: 0 }),
  {
    tolerance: 2e-5,
  },
)
