/** Updates of trained numbers, in place. All arrays: (count,) */
import { multiplyAdd } from './lanes'

/** θ -= rate g */
export function descend(parameters: usize, gradients: usize, count: usize, rate: f32): void {
  const rates = f32x4.splat(-rate)
  const end = parameters + (count << 2)
  const vectorEnd = parameters + ((count & ~3) << 2)
  while (parameters < vectorEnd) {
    v128.store(parameters, multiplyAdd(rates, v128.load(gradients), v128.load(parameters)))
    parameters += 16
    gradients += 16
  }
  while (parameters < end) {
    store<f32>(parameters, load<f32>(parameters) - rate * load<f32>(gradients))
    parameters += 4
    gradients += 4
  }
}

/**
 * m = β₁m + β₁' f g, v = β₂v + β₂' (f g)², θ = keep θ - rate m / (c √v + ε), with β' = 1 - β, `rate` = η / (1 - β₁ᵗ),
 * c = 1 / √(1 - β₂ᵗ), `keep` = 1 - ηλ (Loshchilov & Hutter 2019, algorithm 2).
 */
export function adapt(
  parameters: usize,
  gradients: usize,
  first: usize,
  second: usize,
  count: usize,
  factor: f32,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  rate: f32,
  rootCorrection: f32,
  epsilon: f32,
  keep: f32,
): void {
  for (let offset: usize = 0; offset < count << 2; ) {
    const whole = offset + 16 <= count << 2
    const g = f32x4.mul(loadSome(gradients + offset, whole), f32x4.splat(factor))
    const m0 = f32x4.mul(loadSome(first + offset, whole), f32x4.splat(beta1))
    const v0 = f32x4.mul(loadSome(second + offset, whole), f32x4.splat(beta2))
    const m = multiplyAdd(f32x4.splat(rest1), g, m0)
    const v = multiplyAdd(f32x4.mul(g, g), f32x4.splat(rest2), v0)
    const root = multiplyAdd(f32x4.sqrt(v), f32x4.splat(rootCorrection), f32x4.splat(epsilon))
    const step = f32x4.div(f32x4.mul(f32x4.splat(rate), m), root)
    const kept = f32x4.mul(loadSome(parameters + offset, whole), f32x4.splat(keep))
    storeSome(first + offset, m, whole)
    storeSome(second + offset, v, whole)
    storeSome(parameters + offset, f32x4.sub(kept, step), whole)
    offset += whole ? 16 : 4
  }
}

/** Four numbers, or one where fewer than four are left. */
function loadSome(pointer: usize, whole: bool): v128 {
  return whole ? v128.load(pointer) : v128.load32_zero(pointer)
}

function storeSome(pointer: usize, values: v128, whole: bool): void {
  if (whole) v128.store(pointer, values)
  else store<f32>(pointer, f32x4.extract_lane(values, 0))
}
