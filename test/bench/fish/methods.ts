/** What is compared, and which learning rates each is tried with. A best rate at the end of its list is tried beyond. */
import type { MaskChoice } from '#contracts/patch-file/header.ts'

export const methods = [
  'default',
  'fish',
  'fish-blocks',
  'fish-per-tensor',
  'magnitude',
  'random',
  'ia3',
  'lora',
  'full',
] as const
export type Method = (typeof methods)[number]

export const maskMethods = methods.slice(0, 6) as readonly Method[]

/** How the product would be asked for it; null for what has no mask. */
export function maskChoice(method: Method, keepRatio: number): MaskChoice | null {
  const choice: MaskChoice = { keepRatio, quota: 'joint', scope: 'all', head: 'in-budget', fisher: null }
  const fisher = { kind: 'empirical', examples: 256, trialSteps: 0 } as const
  switch (method) {
    case 'default':
      return { ...choice, fisher: { ...fisher, trialSteps } }
    case 'fish':
      return { ...choice, fisher }
    case 'fish-blocks':
      return { ...choice, scope: 'blocks', fisher }
    case 'fish-per-tensor':
      return { ...choice, quota: 'per-tensor', fisher }
    case 'magnitude':
    case 'random':
      return choice
    default:
      return null
  }
}

export const trialSteps = 60
export const loraRank = 1

/** Rates for 0.5 %; a mask of n times the size wants 1 / √n of them. */
const rates: Readonly<Record<Method, readonly number[]>> = {
  default: [1e-2, 2e-2, 4e-2],
  fish: [1e-2, 2e-2, 4e-2],
  'fish-blocks': [1e-2, 2e-2, 4e-2],
  'fish-per-tensor': [1e-2, 2e-2, 4e-2],
  magnitude: [2e-2, 4e-2, 8e-2],
  random: [4e-2, 8e-2, 16e-2],
  ia3: [5e-2, 1e-1, 2e-1],
  lora: [5e-3, 1e-2, 2e-2],
  full: [1e-3, 2e-3, 4e-3],
}

export function ratesFor(method: Method, keepRatio: number): readonly number[] {
  if (maskChoice(method, keepRatio) === null) return rates[method]
  return rates[method].map((rate) => Number((rate * Math.sqrt(0.005 / keepRatio)).toPrecision(2)))
}
