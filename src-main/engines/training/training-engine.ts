/** Training on onnxruntime: graphs emitted by our own reverse mode, with weights as inputs (docs/decisions/0008). */
import type { TrainingEngine } from '#core/ports/training-engine.ts'
import { loadTrainee, type TraineeOptions } from './trainee.ts'

export function createTrainingEngine(options: TraineeOptions = {}): TrainingEngine {
  return {
    backend: 'onnxruntime-cpu',
    loadTrainee: (model, init) => loadTrainee(model, init, options),
  }
}
