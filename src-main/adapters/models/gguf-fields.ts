/** Metadata by the type that is expected: absent is undefined, anything else than expected a named error with its place. */
import { ModelFormatError } from '#core/errors.ts'
import type { GgufMetadata, GgufValue } from './gguf-metadata.ts'

export interface GgufFields {
  has(key: string): boolean
  /** A whole number from 0 to 2^53. An array of equal ones counts as one: some writers list a number for each block. */
  count(key: string): number | undefined
  number(key: string): number | undefined
  flag(key: string): boolean | undefined
  text(key: string): string | undefined
  strings(key: string): readonly string[] | undefined
  numbers(key: string): Float64Array | undefined
}

export function createGgufFields(metadata: GgufMetadata, label: string): GgufFields {
  const wrong = (key: string, { at }: GgufValue, what: string) =>
    new ModelFormatError(`${label}: ${key} at byte ${at}`, what)
  /** The value under `key` when `pick` finds what it looks for in it. */
  function read<T>(key: string, expected: string, pick: (value: GgufValue) => T | null): T | undefined {
    const value = metadata.get(key)
    if (value === undefined) return undefined
    const picked = pick(value)
    if (picked === null) throw wrong(key, value, `expected ${expected}, found ${described(value)}`)
    return picked
  }
  return {
    has: (key) => metadata.has(key),
    count: (key) => read(key, 'a whole number', (value) => onlyCount(value)),
    number: (key) => read(key, 'a number', (value) => (value.kind === 'number' ? decimal(value) : null)),
    flag: (key) => read(key, 'true or false', (value) => (isBool(value) ? value.value === 1 : null)),
    text: (key) => read(key, 'a text', (value) => (value.kind === 'string' ? value.value : null)),
    strings: (key) => read(key, 'a list of texts', (value) => (value.kind === 'strings' ? value.value : null)),
    numbers: (key) => read(key, 'a list of numbers', (value) => (value.kind === 'numbers' ? value.value : null)),
  }
}

type NumberValue = Extract<GgufValue, { kind: 'number' }>

function isBool(value: GgufValue): value is NumberValue {
  return value.kind === 'number' && value.type === 'bool'
}

function onlyCount(value: GgufValue): number | null {
  if (value.kind !== 'number' && value.kind !== 'numbers') return null
  if (/float|bool/.test(value.type)) return null
  const number = value.kind === 'number' ? value.value : onlyOf(value.value)
  return number !== null && Number.isSafeInteger(number) && number >= 0 ? number : null
}

function onlyOf(values: Float64Array | null): number | null {
  const first = values?.[0]
  return first !== undefined && values?.every((value) => value === first) ? first : null
}

function decimal({ type, value }: NumberValue): number | null {
  if (type === 'bool' || !Number.isFinite(value)) return null
  return type === 'float32' ? shortestDecimal(value) : value
}

/** The shortest decimal that is the same float32: what was written as 1e-5 is 1e-5 again. */
export function shortestDecimal(float32: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(float32.toPrecision(digits))
    if (Math.fround(short) === float32) return short
  }
  return float32
}

function described(value: GgufValue): string {
  switch (value.kind) {
    case 'number':
      return `${value.type} ${value.value}`
    case 'string':
      return value.value === null ? 'a very long text' : 'a text'
    case 'numbers':
      return value.value === null ? 'a very long list' : `a list of ${value.value.length} ${value.type}`
    case 'strings':
      return value.value === null ? 'a very long list' : `a list of ${value.value.length} texts`
  }
}
