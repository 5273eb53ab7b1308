/** The learning rate of each step. */
import type { HyperParameters } from '#contracts/patch-file/header.ts'

export type Schedule = Pick<HyperParameters, 'steps' | 'warmup' | 'schedule'>

/**
 * The rate at `step` (from 0) over the highest one: rises linearly over the first `warmup` of the steps, then stays, falls
 * linearly towards 0, or along half a cosine (Loshchilov & Hutter 2017). Never 0 before the end: every step moves.
 */
export function rateFactor(step: number, { steps, warmup, schedule }: Schedule): number {
  const rising = Math.min(steps - 1, Math.ceil(warmup * steps))
  if (step < rising) return (step + 1) / (rising + 1)
  const progress = (step - rising) / (steps - rising)
  if (schedule === 'linear') return 1 - progress
  if (schedule === 'cosine') return (1 + Math.cos(Math.PI * progress)) / 2
  return 1
}
