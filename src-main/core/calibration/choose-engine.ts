/** From measurements to the one backend and weight format to use, with the reason in a word that a UI can put in a sentence. */
import type { WeightFormat } from '../ports/engine.ts'
import type { Device } from './backend-listing.ts'
import type { Calibration, EngineOverride, MeasuredOutcome, Measurement } from './calibration.ts'

export const choiceReasons = [
  /** The owner said so. */
  'owner-chose',
  /** The owner said so, and leaves the format open. */
  'owner-chose-backend',
  /** It decodes fastest of those that are exact enough and fit. */
  'fastest',
  /** Another is faster by less than measurements differ; this one is more exact or has fewer parts that can fail. */
  'as-fast-and-simpler',
  /** Nothing else is exact enough and fits. */
  'only-one',
  /** Four-bit weights, because more bits do not fit. */
  'memory',
  /** Nothing fits whole: this one holds the most blocks. */
  'smallest',
] as const
export type ChoiceReason = (typeof choiceReasons)[number]

export type EngineChoice =
  | {
      readonly kind: 'chosen'
      readonly backend: string
      readonly format: WeightFormat
      readonly why: ChoiceReason
      /** What the owner asked for does not work here, so the choice was made without it. */
      readonly overrideFailed: boolean
    }
  | {
      readonly kind: 'none'
      /** Nothing ran; or what ran is not exact enough. */
      readonly why: 'nothing-works' | 'nothing-exact'
      readonly overrideFailed: boolean
    }

export interface ChooseInput {
  readonly calibration: Calibration
  readonly override: EngineOverride | null
  /** For weights. `gpuBytes` null: not known, so taken to be the machine's. */
  readonly memory: { readonly machineBytes: number; readonly gpuBytes: number | null }
  /** How many blocks this machine is to hold. */
  readonly blocks: number
}

/**
 * Largest relative error of a product of uniform random weights. Rounding alone costs: nothing, 2e-4, 4e-3 (1e-2 with int8
 * activations), 7e-2; twice that is a fault. float32 with TF32's short factors (5e-4) is not what it says it is.
 */
export const errorBounds: Readonly<Record<WeightFormat, number>> = {
  float32: 1e-4,
  float16: 2e-3,
  int8: 3e-2,
  int4: 0.15,
}

/** Measurements of one thing differ by this much from time to time. */
const tieShare = 0.05

/** Among equals: those with fewer parts that can fail first. */
const simplestFirst = ['onnxruntime-cpu', 'onnxruntime-', 'tfjs-node', 'tfjs-cuda', 'tfjs-wasm'] as const
const mostExactFirst: readonly WeightFormat[] = ['float32', 'float16', 'int8', 'int4']

interface Candidate {
  readonly backend: string
  readonly device: Device
  readonly format: WeightFormat
  readonly outcome: MeasuredOutcome
}

export function chooseEngine(input: ChooseInput): EngineChoice {
  const working = input.calibration.measurements.flatMap(asCandidate)
  const exact = working.filter(({ format, outcome }) => outcome.relativeError <= errorBounds[format])
  const { override } = input
  if (override === null) return choose(exact, working.length > 0, input, false)
  // Whoever names a format takes its exactness as it is.
  const named = override.format === null ? exact : working
  const wanted = named.filter(
    ({ backend, format }) => backend === override.backend && format === (override.format ?? format),
  )
  if (wanted.length === 0) return choose(exact, working.length > 0, input, true)
  const choice = choose(wanted, true, input, false)
  if (choice.kind === 'none') return choice
  return { ...choice, why: override.format === null ? 'owner-chose-backend' : 'owner-chose' }
}

function choose(
  candidates: readonly Candidate[],
  anyWorks: boolean,
  input: ChooseInput,
  overrideFailed: boolean,
): EngineChoice {
  const picked = pick(candidates, input)
  if (picked === null) return { kind: 'none', why: anyWorks ? 'nothing-exact' : 'nothing-works', overrideFailed }
  const [{ backend, format }, why] = picked
  return { kind: 'chosen', backend, format, why, overrideFailed }
}

/** Four bits cost quality that a speed does not buy back, so they are only for want of memory. */
function pick(candidates: readonly Candidate[], input: ChooseInput): readonly [Candidate, ChoiceReason] | null {
  const fitting = candidates.filter((candidate) => fits(candidate, input))
  const wide = fitting.filter(({ format }) => format !== 'int4')
  const fastWide = fastest(wide)
  if (fastWide !== null) return fastWide
  const hadWide = candidates.some(({ format }) => format !== 'int4')
  const narrow = fastest(fitting)
  if (narrow !== null) return hadWide ? [narrow[0], 'memory'] : narrow
  const smallest = candidates.toSorted((a, b) => blocksHeld(b, input) - blocksHeld(a, input) || compareSimplicity(a, b))
  return smallest[0] === undefined ? null : [smallest[0], 'smallest']
}

function fastest(candidates: readonly Candidate[]): readonly [Candidate, ChoiceReason] | null {
  const first = candidates.toSorted((a, b) => speed(b) - speed(a))[0]
  if (first === undefined) return null
  if (candidates.length === 1) return [first, 'only-one']
  const tied = candidates.filter((candidate) => speed(candidate) >= speed(first) * (1 - tieShare))
  const simplest = tied.toSorted(compareSimplicity)[0] ?? first
  return simplest === first ? [first, 'fastest'] : [simplest, 'as-fast-and-simpler']
}

function asCandidate({ backend, device, format, outcome }: Measurement): Candidate[] {
  return outcome.kind === 'measured' ? [{ backend, device, format, outcome }] : []
}

const speed = ({ outcome }: Candidate): number => outcome.decodeTokensPerSecond

function fits(candidate: Candidate, input: ChooseInput): boolean {
  return blocksHeld(candidate, input) >= input.blocks
}

/** Whole blocks of its weights that the memory it uses can hold. */
function blocksHeld({ device, outcome }: Candidate, { memory }: ChooseInput): number {
  const bytes = device === 'gpu' ? (memory.gpuBytes ?? memory.machineBytes) : memory.machineBytes
  return Math.floor(bytes / outcome.weightBytes)
}

function compareSimplicity(a: Candidate, b: Candidate): number {
  return (
    (a.device === b.device ? 0 : a.device === 'cpu' ? -1 : 1) ||
    rank(a.backend) - rank(b.backend) ||
    mostExactFirst.indexOf(a.format) - mostExactFirst.indexOf(b.format) ||
    speed(b) - speed(a)
  )
}

function rank(backend: string): number {
  const place = simplestFirst.findIndex((prefix) => backend.startsWith(prefix))
  return place === -1 ? simplestFirst.length : place
}
