import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createStopScanner } from '#core/generation/stop-strings.ts'

function scan(pieces: readonly string[], stops: readonly string[]) {
  const scanner = createStopScanner(stops)
  let text = ''
  let stopped = false
  for (const piece of pieces) {
    const step = scanner.push(piece)
    text += step.text
    stopped = step.stopped
  }
  return { text: text + scanner.end(), stopped }
}

/** The text before the stop string that is complete first; all of it when there is none. */
function untilFirstStop(text: string, stops: readonly string[]) {
  for (let end = 1; end <= text.length; end++) {
    const complete = stops.filter((stop) => text.slice(0, end).endsWith(stop))
    const longest = Math.max(0, ...complete.map((stop) => stop.length))
    if (longest > 0) return { text: text.slice(0, end - longest), stopped: true }
  }
  return { text, stopped: false }
}

describe('the stop scanner', () => {
  test('ends before a stop string that lies across pieces', () => {
    expect(scan(['Hello wo', 'rld, and', ' more'], ['world'])).toEqual({ text: 'Hello ', stopped: true })
  })

  test('holds back what may become a stop string, and nothing else', () => {
    const scanner = createStopScanner(['\n\nUser:'])
    expect(scanner.push('Yes.\n')).toEqual({ text: 'Yes.', stopped: false })
    expect(scanner.push('\nUs')).toEqual({ text: '', stopped: false })
    expect(scanner.push('e it')).toEqual({ text: '\n\nUse it', stopped: false })
  })

  test('gives out what it held when the text ends', () => {
    const scanner = createStopScanner(['END'])
    expect(scanner.push('the EN').text).toBe('the ')
    expect(scanner.end()).toBe('EN')
    expect(scanner.end()).toBe('')
  })

  test('finds a stop string that starts again inside its own beginning', () => {
    expect(scan(['aa', 'ab'], ['aab'])).toEqual({ text: 'a', stopped: true })
  })

  test('says nothing more once it has stopped', () => {
    const scanner = createStopScanner(['x'])
    expect(scanner.push('axb')).toEqual({ text: 'a', stopped: true })
    expect(scanner.push('c')).toEqual({ text: '', stopped: true })
    expect(scanner.end()).toBe('')
  })

  test('without stop strings passes everything on at once', () => {
    expect(createStopScanner([]).push('abc')).toEqual({ text: 'abc', stopped: false })
  })

  test('its output is the text up to the first stop string, however the text was cut', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 6 })
    const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 }), {
      maxLength: 3,
    })
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), stops, (pieces, wanted) => {
        expect(scan(pieces, wanted)).toEqual(untilFirstStop(pieces.join(''), wanted))
      }),
      { numRuns: 1000 },
    )
  })

  test('what is held back is never longer than a stop string', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 4 })), (pieces) => {
        const scanner = createStopScanner(['abab'])
        let given = 0
        let out = 0
        for (const piece of pieces) {
          given += piece.length
          const step = scanner.push(piece)
          if (step.stopped) return
          out += step.text.length
          expect(given - out).toBeLessThan(4)
        }
      }),
    )
  })
})
