/**
 * What becomes of patch files in hostile hands: bytes changed at random, and headers and sections changed with all digests
 * set right again, so that the change itself has to be found. Shared by a test of seconds and a harness of minutes.
 */
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import type { WrittenPatch } from '#contracts/patch-file/write-patch.ts'
import { credulous, type ExampleName, exampleNames, fileOf, readFile, writeExample } from './example-patches.ts'
import { sealUnsigned, type WireHeader, wireHeaderOf, withSections } from './sealing.ts'

/** Numbers in [0, 1). */
export type Random = () => number

export interface Mutant {
  readonly kind: 'bytes' | 'header' | 'section'
  readonly file: Uint8Array
}

export type Outcome = 'read' | 'refused'

const hostileNumbers = [
  0,
  1,
  -1,
  2,
  7,
  63,
  64,
  127,
  255,
  256,
  65_535,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 40,
  2 ** 53 - 1,
  0.5,
]

export async function exampleSeeds(): Promise<readonly WrittenPatch[]> {
  return await Promise.all(exampleNames.map((name: ExampleName) => writeExample(name)))
}

export function mutate(seeds: readonly WrittenPatch[], random: Random): Mutant {
  const seed = pick(seeds, random)
  const roll = random()
  if (roll < 0.3) return { kind: 'bytes', file: changeBytes(fileOf(seed), random) }
  if (roll < 0.6)
    return { kind: 'header', file: sealUnsigned(changeHeader(wireHeaderOf(seed.head), random), seed.sections) }
  const sections = seed.sections.map((bytes) => (random() < 0.7 ? changeBytes(bytes, random) : bytes))
  const header = withSections(seed, sections)
  return { kind: 'section', file: sealUnsigned(random() < 0.3 ? changeHeader(header, random) : header, sections) }
}

/**
 * Reads a mutant as an author's own file. Throws when it is neither refused by name nor sound: then a reader was misled, or
 * surprised.
 */
export async function judge({ file }: Mutant): Promise<Outcome> {
  try {
    const { content } = await readFile(file, credulous)
    expectSound(content, file.length)
    return 'read'
  } catch (error) {
    if (error instanceof PatchFormatError) return 'refused'
    throw error
  }
}

/** Everything that whoever is given a content may rely on, and no more numbers than the file can have held. */
export function expectSound({ deltas, scales, factors }: PatchContent, fileBytes: number): void {
  let numbers = 0
  for (const { tensor, shape, indices, values, fisher } of deltas) {
    const size = shape.reduce((product, extent) => product * extent, 1)
    const ascending = indices.every((index, k) => index < size && (k === 0 || index > (indices[k - 1] ?? 0)))
    if (!ascending || values.length !== indices.length) throw new Error(`${tensor}: its places are not sound`)
    if (!values.every(Number.isFinite)) throw new Error(`${tensor}: its values are not sound`)
    if (fisher !== null && !(fisher.length === indices.length && fisher.every((f) => f >= 0 && f < Infinity))) {
      throw new Error(`${tensor}: its Fisher is not sound`)
    }
    numbers += values.length
  }
  for (const { block, values } of scales) {
    if (!values.every(Number.isFinite)) throw new Error(`block ${block}: its scales are not sound`)
    numbers += values.length
  }
  for (const { tensor, shape, rank, left, right } of factors) {
    if (left.length !== shape[0] * rank || right.length !== rank * shape[1])
      throw new Error(`${tensor}: factors not sound`)
    numbers += left.length + right.length
  }
  if (numbers > fileBytes) throw new Error(`${numbers} numbers out of ${fileBytes} bytes`)
}

function changeBytes(bytes: Uint8Array, random: Random): Uint8Array {
  let changed = Uint8Array.from(bytes)
  for (let times = 1 + Math.floor(random() * 4); times > 0; times--) changed = changeOnce(changed, random)
  return changed
}

function changeOnce(bytes: Uint8Array<ArrayBuffer>, random: Random): Uint8Array<ArrayBuffer> {
  const place = Math.floor(random() * bytes.length)
  const length = 1 + Math.floor(random() * 8)
  const copy = Uint8Array.from(bytes)
  switch (Math.floor(random() * 6)) {
    case 0:
      copy[place] = (copy[place] ?? 0) ^ (1 << Math.floor(random() * 8))
      return copy
    case 1:
      return copy.fill(pick([0, 0xff, 0x7f, 0x80, Math.floor(random() * 256)], random), place, place + length)
    case 2:
      return copy.slice(0, place)
    case 3:
      return Uint8Array.from([...copy.subarray(0, place), ...copy.subarray(place + length)])
    case 4:
      return Uint8Array.from([
        ...copy.subarray(0, place),
        ...copy.subarray(place, place + length),
        ...copy.subarray(place),
      ])
    default:
      return Uint8Array.from([...copy, ...new Uint8Array(length).map(() => Math.floor(random() * 256))])
  }
}

/** One field, anywhere in the header, is another value, is gone, or is there that should not be. */
function changeHeader(header: WireHeader, random: Random): unknown {
  const paths = leavesOf(header)
  return replaceAt(header, pick(paths, random), (value) => hostileValue(value, random))
}

export type Path = readonly (string | number)[]

/** Paths of all values, those of containers too. */
export function leavesOf(value: unknown, path: Path = []): Path[] {
  if (value instanceof Uint8Array || value === null || typeof value !== 'object') return [path]
  const children = Array.isArray(value) ? value.entries() : Object.entries(value)
  return [
    ...(path.length === 0 ? [] : [path]),
    ...[...children].flatMap(([key, child]) => leavesOf(child, [...path, key])),
  ]
}

/** A copy with another value at `path`. `undefined` takes it away. */
export function replaceAt(value: unknown, [key, ...rest]: Path, change: (value: unknown) => unknown): unknown {
  if (key === undefined) return change(value)
  if (Array.isArray(value)) {
    const changed = replaceAt(value[Number(key)], rest, change)
    return changed === undefined ? value.toSpliced(Number(key), 1) : value.with(Number(key), changed)
  }
  const { [key]: child, ...others } = value as Record<string, unknown>
  const changed = replaceAt(child, rest, change)
  return changed === undefined ? others : { ...others, [key]: changed }
}

function hostileValue(value: unknown, random: Random): unknown {
  const roll = random()
  if (typeof value === 'number' && roll < 0.6) return pick([...hostileNumbers, value + 1, value - 1, value * 2], random)
  if (value instanceof Uint8Array && roll < 0.5) return value.slice(0, Math.floor(random() * 40))
  if (typeof value === 'string' && roll < 0.5) return pick(['', 'x'.repeat(300), '\u0000', `${value}x`], random)
  if (Array.isArray(value) && roll < 0.5)
    return pick([[], [...value, ...value], value.toReversed(), value.slice(1)], random)
  return pick<unknown>([undefined, null, true, false, 0, -1, '', [], {}, new Uint8Array(32), 1e300], random)
}

function pick<T>(choices: readonly T[], random: Random): T {
  return choices[Math.floor(random() * choices.length)] as T
}
