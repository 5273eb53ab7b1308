/** Which backends this build knows, and which of them this machine can use. */
import type { ErrorParams } from '#contracts/errors.ts'
import type { WeightFormat } from '../ports/engine.ts'

export const devices = ['cpu', 'gpu'] as const
export type Device = (typeof devices)[number]

export const unavailableReasons = [
  /** Made for other operating systems. */
  'wrong-platform',
  /** An optional package, or a library it wants, is not here. */
  'not-installed',
  /** No device, or no driver for it. */
  'driver-missing',
  /** It was tried, and broke, hung or gave wrong products. */
  'probe-failed',
] as const
export type UnavailableReason = (typeof unavailableReasons)[number]

export type Availability =
  | { readonly kind: 'available' }
  | { readonly kind: 'unavailable'; readonly reason: UnavailableReason; readonly params: ErrorParams }

export interface BackendListing {
  readonly backend: string
  readonly device: Device
  /** Those that work, where it is available; else those it would have. */
  readonly formats: readonly WeightFormat[]
  readonly availability: Availability
}
