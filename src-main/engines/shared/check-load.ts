/** What every engine refuses before it reads a tensor. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { formatSpan, type Span } from '#contracts/span.ts'
import type { Engine, LoadOptions, WeightFormat } from '#core/ports/engine.ts'

/** Throws `RangeError` unless `threads` is a whole number from 1 on and the engine has the format. -> the format */
export function checkLoad(engine: Pick<Engine, 'backend' | 'formats'>, options: LoadOptions): WeightFormat {
  const { threads, format = 'float32' } = options
  if (!Number.isInteger(threads) || threads < 1) throw new RangeError(`${threads} threads`)
  checkFormat(engine, format)
  return format
}

/** Throws `RangeError` for a format that is not among the engine's. */
export function checkFormat({ backend, formats }: Pick<Engine, 'backend' | 'formats'>, format: WeightFormat): void {
  if (!formats.includes(format)) throw new RangeError(`${backend} has no ${format} weights, only ${formats.join(', ')}`)
}

/** Throws `RangeError` unless `span` is some of the model's blocks. */
export function checkSpan({ blockCount }: ModelConfig, span: Span): void {
  if (span.start >= 0 && span.start < span.end && span.end <= blockCount) return
  throw new RangeError(`blocks ${formatSpan(span)} of a model of ${blockCount}`)
}
