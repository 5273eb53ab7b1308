import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cleanNodeName, maximumNodeNameLength, nodeNameSchema } from '#contracts/wire/announce/node-name.ts'

describe('a node name', () => {
  it.each(['', 'Grüner Salon', '居間のパソコン', 'zoë’s attic 🐝', 'a'.repeat(64)])('may be %j', (name) => {
    expect(nodeNameSchema.parse(name)).toBe(name)
  })

  it.each([
    ['controls', 'a\u0000b', 'ab'],
    ['line breaks', 'a\nb\u2028c', 'abc'],
    ['direction overrides', 'evil\u202Eexe.txt', 'evilexe.txt'],
    ['invisible joiners', 'ad\u200Bmin', 'admin'],
    ['lone surrogates', 'x\uD800y', 'xy'],
    ['letters that are not composed', 'u\u0308', 'ü'],
    ['spaces around it', '  den ', 'den'],
    ['more than 64 characters', 'b'.repeat(65), 'b'.repeat(64)],
  ])('cannot have %s, and is cleaned of them', (_, name, clean) => {
    expect(nodeNameSchema.safeParse(name).success).toBe(false)
    expect(cleanNodeName(name)).toBe(clean)
  })

  it('is acceptable after cleaning, whatever it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (name) => {
        const clean = cleanNodeName(name)
        expect(nodeNameSchema.safeParse(clean).success).toBe(true)
        expect(clean.length).toBeLessThanOrEqual(maximumNodeNameLength)
      }),
      { numRuns: 1_000 },
    )
  })
})
