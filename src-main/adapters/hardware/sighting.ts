/**
 * What one probe saw. Probes overlap and contradict each other; `combine.ts` makes one profile of all sightings. Values
 * come from outside, so they pass through the readers below: what is not plainly a good value is null.
 */
import type { HardwareProfile } from '#contracts/api/hardware.ts'

export type Battery = NonNullable<HardwareProfile['battery']>

export interface GpuSighting {
  readonly vendor: string | null
  readonly model: string | null
  readonly memoryBytes: number | null
  readonly driver: string | null
  readonly source: string
  /** `0000:01:00.0`: tells two equal cards apart, and one card seen twice from two. */
  readonly pciAddress: string | null
  /** `10de:2684`, vendor and device. */
  readonly pciId: string | null
}

export interface Sighting {
  readonly cpu?: {
    readonly model: string | null
    readonly physicalCores: number | null
    readonly simd: readonly string[] | null
  }
  readonly memory?: {
    readonly totalBytes: number | null
    readonly availableBytes: number | null
    /** True for a limit put on this process, which holds on top of what the machine has. */
    readonly limited?: boolean
  }
  readonly gpus?: readonly GpuSighting[]
  readonly battery?: Battery | null
}

/** Longest text in a profile. */
const maximumTextLength = 256

/** Without control characters and double spaces; null when nothing is left. */
export function textOf(value: unknown): string | null {
  if (typeof value !== 'string') return null
  const text = value
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, maximumTextLength)
    .trim()
  return /^$|^\[?(n\/a|not supported|unknown|none)\]?$/i.test(text) ? null : text
}

/** A whole number above zero, from a number or decimal digits; `unit` multiplies it. */
export function positiveOf(value: unknown, unit = 1): number | null {
  const number = typeof value === 'string' && /^\s*\d+\s*$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !Number.isFinite(number)) return null
  const product = Math.round(number * unit)
  return product > 0 && Number.isSafeInteger(product) ? product : null
}

export function percentOf(value: unknown): number | null {
  const number = typeof value === 'string' && /^\s*\d+\s*$/.test(value) ? Number(value) : value
  return typeof number === 'number' && number >= 0 && number <= 100 ? number : null
}

const x86 = /^(mmx|s?sse|avx|fma|f16c|amx)/
const arm = /^(neon|asimd|sve|sme|i8mm|bf16|fphp|fp16|dotprod|(feat_)?(advsimd|dotprod|i8mm|bf16|fp16|fhm|sme))/

/** The vector features among a processor's flags. x86 and Arm are told apart: `sme` encrypts memory on one of them. */
export function simdOf(flags: readonly string[], kind: 'x86' | 'arm'): readonly string[] | null {
  const wanted = kind === 'x86' ? x86 : arm
  const found = new Set(
    flags.map((flag) => flag.toLowerCase()).filter((flag) => wanted.test(flag) && /^[\w.]{1,32}$/.test(flag)),
  )
  return found.size === 0 ? null : [...found].slice(0, 64)
}

/** Any JSON; null for what is none. */
export function jsonOf(text: string | null): unknown {
  try {
    return JSON.parse(text ?? 'null')
  } catch {
    return null
  }
}

export type Fields = Readonly<Record<string, unknown>>

export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}

/** The objects in a list, or the one object where a tool leaves out the brackets around a single one. */
export function listOf(value: unknown): readonly Fields[] {
  const items = Array.isArray(value) ? value : [value]
  return items.filter((item) => typeof item === 'object' && item !== null).map(fieldsOf)
}
