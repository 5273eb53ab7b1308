import { describe, expect, it } from 'vitest'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import { ancestorsOf, logOf, maximumAncestors } from '#core/patches/lineage.ts'

interface Node {
  readonly parents: readonly Digest[]
  readonly createdAtMs: number
}

function digest(name: string): Digest {
  return digestSchema.parse(Buffer.from(name).toString('hex').padStart(64, '0'))
}

/** Patches by name, each with its parents and age. */
function family(members: Readonly<Record<string, readonly [createdAtMs: number, ...parents: string[]]>>) {
  const nodes = new Map<Digest, Node>(
    Object.entries(members).map(([name, [createdAtMs, ...parents]]) => [
      digest(name),
      { createdAtMs, parents: parents.map(digest) },
    ]),
  )
  const nameOf = (wanted: Digest) => Buffer.from(wanted, 'hex').toString().replaceAll('\0', '')
  return {
    ancestors: (name: string) =>
      ancestorsOf(digest(name), (d) => nodes.get(d) ?? null).map((a) => [nameOf(a.digest), a.depth, a.patch !== null]),
    log: (name: string) => logOf(digest(name), (d) => nodes.get(d) ?? null).map((entry) => nameOf(entry.digest)),
  }
}

describe('the ancestors of a patch', () => {
  it('come nearest first, each once at its least depth', () => {
    const { ancestors } = family({ d: [4, 'c', 'a'], c: [3, 'b'], b: [2, 'a'], a: [1] })
    expect(ancestors('d')).toEqual([
      ['c', 1, true],
      ['a', 1, true],
      ['b', 2, true],
    ])
  })

  it('are named where they are not here, and what they stand on is not known', () => {
    expect(family({ c: [3, 'b'] }).ancestors('c')).toEqual([['b', 1, false]])
  })

  it('of a patch without parents, or one that nobody knows, are none', () => {
    expect(family({ a: [1] }).ancestors('a')).toEqual([])
    expect(family({}).ancestors('a')).toEqual([])
  })

  it('end where a liar’s lookup goes in circles', () => {
    expect(family({ a: [1, 'b'], b: [1, 'a'] }).ancestors('a')).toEqual([['b', 1, true]])
  })

  it('are at most so many', () => {
    const chain = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`n${i}`, [i, `n${i + 1}`] as const]))
    expect(family(chain).ancestors('n0')).toHaveLength(maximumAncestors)
  })
})

describe('the log of a patch', () => {
  it('is newest first', () => {
    expect(family({ m: [9, 'a', 'b'], a: [3, 'r'], b: [5, 'r'], r: [1] }).log('m')).toEqual(['m', 'b', 'a', 'r'])
  })

  it('never tells a parent before its children, whatever their clocks said', () => {
    expect(family({ m: [1, 'a', 'b'], a: [90, 'b'], b: [95] }).log('m')).toEqual(['m', 'a', 'b'])
  })

  it('names those that are not here', () => {
    expect(family({ m: [9, 'a', 'x'], a: [3] }).log('m')).toEqual(['m', 'x', 'a'])
  })
})
