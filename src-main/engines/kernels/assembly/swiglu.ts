/** The feed-forward's gate (Shazeer 2020, eq. 6): silu(gate) ⊙ up, with silu(z) = z σ(z). */
import { exponential } from './lanes'

/** `gateUp`: (rows, 2 size), gates then ups -> `out`: (rows, size) */
export function siluMultiply(gateUp: usize, out: usize, rows: usize, size: usize): void {
  const sizeBytes = size << 2
  for (let row: usize = 0; row < rows; row++) {
    gateRow(gateUp, gateUp + sizeBytes, out, size)
    gateUp += sizeBytes << 1
    out += sizeBytes
  }
}

function gateRow(gate: usize, up: usize, out: usize, size: usize): void {
  const vectorEnd = out + ((size & ~3) << 2)
  const end = out + (size << 2)
  while (out < vectorEnd) {
    v128.store(out, gated(v128.load(gate), v128.load(up)))
    gate += 16
    up += 16
    out += 16
  }
  while (out < end) {
    const value = gated(v128.load32_zero(gate), v128.load32_zero(up))
    store<f32>(out, f32x4.extract_lane(value, 0))
    gate += 4
    up += 4
    out += 4
  }
}

function gated(gate: v128, up: v128): v128 {
  const denominator = f32x4.add(f32x4.splat(1), exponential(f32x4.neg(gate)))
  return f32x4.div(f32x4.mul(gate, up), denominator)
}
