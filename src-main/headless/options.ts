/** Parsers of command line values: each returns a checked value or says what was expected. */
import { InvalidArgumentError, Option } from 'commander'
import { type Span, spanSchema } from '#contracts/span.ts'
import { weightFormats } from '#core/ports/engine.ts'

export function integer(range: { min: number; max: number }): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^-?\d+$/.test(text) && value >= range.min && value <= range.max) return value
    throw new InvalidArgumentError(`Expected a whole number from ${range.min} to ${range.max}.`)
  }
}

export function decimal(range: { min: number; max: number }): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() !== '' && value >= range.min && value <= range.max) return value
    throw new InvalidArgumentError(`Expected a number from ${range.min} to ${range.max}.`)
  }
}

/** Where the UI is unless the port is in use or another is asked for, so that a bookmark of it stays good. */
export const usualUiPort = 4747

/** `2:4` or `auto`. */
export function blocks(text: string): Span | 'auto' {
  if (text === 'auto') return 'auto'
  const match = /^(\d{1,5}):(\d{1,5})$/.exec(text)
  const span = spanSchema.safeParse({ start: Number(match?.[1]), end: Number(match?.[2]) })
  if (span.success) return span.data
  throw new InvalidArgumentError('Expected "auto" or START:END with START before END, such as 2:4.')
}

/** For options that may be given several times. */
export function collect(value: string, earlier: string[]): string[] {
  return [...earlier, value]
}

/** `--weights int8`: for those who want to decide themselves. */
export function weightsOption(): Option {
  const option = new Option(
    '--weights <format>',
    'how weights are held; what suits the model and this machine when left out',
  )
  return option.choices(weightFormats)
}
