/** How many bytes a section and its parts have, from what the header says of it. */
import { encodedFisherBytes } from './fisher-codec.ts'
import type { ValueFormat } from './header.ts'
import { encodedValueBytes } from './value-codec.ts'

export interface DeltaBytes {
  readonly indexBytes: number
  readonly valueBytes: number
  readonly fisherBytes: number
  /** Index bytes ‖ value bytes ‖ Fisher bytes. */
  readonly bytes: number
}

export function deltaBytes(
  { entries, indexBytes, hasFisher }: { entries: number; indexBytes: number; hasFisher: boolean },
  format: ValueFormat,
): DeltaBytes {
  const valueBytes = encodedValueBytes(format, entries)
  const fisherBytes = hasFisher ? encodedFisherBytes(entries) : 0
  return { indexBytes, valueBytes, fisherBytes, bytes: indexBytes + valueBytes + fisherBytes }
}

/**
 * Always float32: a scale is near one, and a short format would keep the one and lose what was learned. A few vectors a
 * block are small however they are stored.
 */
export function scaleBytes(entries: number): number {
  return encodedValueBytes('float32', entries)
}

/** Left values ‖ right values, each coded by itself. */
export function factorBytes(
  [out, into]: readonly [number, number],
  rank: number,
  format: ValueFormat,
): { readonly leftBytes: number; readonly bytes: number } {
  const leftBytes = encodedValueBytes(format, out * rank)
  return { leftBytes, bytes: leftBytes + encodedValueBytes(format, rank * into) }
}
