import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { TrainedParameter } from '#core/ports/engine.ts'
import { locateTensor, scaleSize } from '../shared/patch-target.ts'

/** How many numbers the gradient of a parameter has. Throws `PatchMismatchError` for one the model does not have. */
export function parameterSize(config: ModelConfig, parameter: TrainedParameter): number {
  switch (parameter.kind) {
    case 'entries':
      return parameter.indices.length
    case 'scale':
      return scaleSize(config, parameter.block, parameter.target)
    case 'tensor':
      return locateTensor(config, parameter.name).shape.reduce((product, size) => product * size, 1)
  }
}
