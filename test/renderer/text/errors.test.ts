import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errorCodes } from '#contracts/errors.ts'
import { blocksInWords, type FailureCode, failureDetails, wordFailure } from '#renderer/text/errors.ts'

const codes: readonly FailureCode[] = [...errorCodes, 'connection-lost']
const parameters = [
  'where',
  'what',
  'why',
  'model',
  'blocks',
  'reason',
  'wanted',
  'maximum',
  'sequence',
  'port',
  'neededBytes',
  'patch',
  'expected',
  'actual',
  'run',
  'state',
]
const value = fc.oneof(fc.string(), fc.double(), fc.boolean(), fc.array(fc.nat(), { maxLength: 3 }))

describe('the wording of failures', () => {
  test.each(codes)('"%s" says what happened, why, and what to do, in whole sentences', (code) => {
    const words = wordFailure({ code, params: {} })
    for (const sentence of Object.values(words)) {
      expect(sentence).toMatch(/^[A-Z].*\.$/)
      expect(sentence).not.toMatch(/undefined|NaN|\.\.|!/)
    }
  })

  test('stays readable whatever parameters come with a code', () => {
    const params = fc.dictionary(fc.constantFrom(...parameters), value)
    fc.assert(
      fc.property(fc.constantFrom(...codes), params, (code, given) => {
        const { what, why, next } = wordFailure({ code, params: given })
        for (const sentence of [what, why, next]) {
          expect(sentence).not.toMatch(/undefined|NaN|Infinity|\[object/)
          expect(sentence.length).toBeLessThan(400)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('names missing blocks as people count them', () => {
    expect(blocksInWords('2:4')).toBe('blocks 2–3')
    expect(blocksInWords('4:5')).toBe('block 4')
    expect(blocksInWords('0:2, 6:7')).toBe('blocks 0–1 and 6')
    expect(blocksInWords('nonsense')).toBe('some blocks')
  })

  test('details for a report hold code, parameters and version', () => {
    const details = failureDetails({ code: 'missing-blocks', params: { blocks: '2:4' } }, '0.1.0')
    expect(JSON.parse(details)).toEqual({
      product: 'quiltbee',
      version: '0.1.0',
      code: 'missing-blocks',
      params: { blocks: '2:4' },
    })
  })
})
