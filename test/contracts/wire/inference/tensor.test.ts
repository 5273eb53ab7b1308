import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maximumHiddenSize } from '#contracts/wire/inference/messages.ts'
import {
  decodeTensor,
  encodeTensor,
  maximumSessionFrameBytes,
  maximumTokensPerFrame,
  type TensorFrame,
  tensorHeaderBytes,
  tokensPerFrame,
} from '#contracts/wire/inference/tensor.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'
import { exampleSession, exampleTensor } from '../examples.ts'

function bodyOf(frame: TensorFrame): Uint8Array {
  const { header, payload } = encodeTensor(frame)
  const body = new Uint8Array(header.length + payload.length)
  body.set(header)
  body.set(payload, header.length)
  return body
}

/** The example with some bytes replaced. */
function changed(offset: number, ...values: number[]): Uint8Array {
  const body = bodyOf(exampleTensor)
  body.set(values, offset)
  return body
}

describe('a tensor frame', () => {
  it('carries float32 values bit for bit, wherever it lies in memory', () => {
    const frames = fc.record({ position: fc.nat(400), shift: fc.nat(7), tokens: fc.integer({ min: 1, max: 20 }) })
    const values = fc.float({ noNaN: true, noDefaultInfinity: true })
    fc.assert(
      fc.property(frames, values, ({ position, shift, tokens }, value) => {
        const hidden = Float32Array.from({ length: tokens * 2 }, (_, index) => value * (index % 3))
        fc.pre(hidden.every(Number.isFinite))
        const body = bodyOf({ position, tokens, hidden })
        const moved = new Uint8Array(body.length + shift)
        moved.set(body, shift)
        expect(decodeTensor(moved.subarray(shift), exampleSession)).toEqual({ position, tokens, hidden })
        const buffer = Buffer.from(moved.buffer).subarray(shift)
        expect(decodeTensor(buffer, exampleSession)).toEqual({ position, tokens, hidden })
      }),
    )
  })

  it('is read in place where its floats are aligned', () => {
    const body = bodyOf(exampleTensor)
    expect(decodeTensor(body, exampleSession).hidden.buffer).toBe(body.buffer)
  })

  it.each([
    ['shorter than its header', bodyOf(exampleTensor).subarray(0, 15), '15 bytes'],
    ['of another kind', changed(0, 2), 'kind 2'],
    ['of another dtype', changed(1, 9), 'dtype 9'],
    ['with reserved bytes in use', changed(2, 1), 'reserved'],
    ['with reserved bytes in use at the end', changed(15, 1), 'reserved'],
    ['without tokens', changed(8, 0), '0 tokens'],
    ['of 2^32 - 1 tokens', changed(8, 255, 255, 255, 255), '4294967295 tokens'],
    ['with fewer values than tokens', bodyOf(exampleTensor).subarray(0, -4), '12 bytes for 2 tokens'],
    ['with more values than tokens', Uint8Array.of(...bodyOf(exampleTensor), 0, 0, 0, 0), '20 bytes for 2 tokens'],
    ['past the end of the session', changed(4, 255, 1), 'positions 511 to 513'],
    ['at position 2^32 - 1', changed(4, 255, 255, 255, 255), 'positions 4294967295'],
    ['with NaN', changed(tensorHeaderBytes, 0, 0, 0xc0, 0x7f), 'not finite'],
    ['with an infinity', changed(tensorHeaderBytes, 0, 0, 0x80, 0xff), 'not finite'],
  ])('%s is refused', (_, body, complaint) => {
    expect(() => decodeTensor(body, exampleSession)).toThrow(ProtocolViolationError)
    expect(() => decodeTensor(body, exampleSession)).toThrow(complaint)
  })

  it('of random bytes is a violation or a tensor of the right size', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (random) => {
        const body = Uint8Array.of(1, 0, 0, 0, ...random)
        try {
          const { hidden, tokens } = decodeTensor(body, exampleSession)
          expect(hidden.length).toBe(tokens * 2)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolationError)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('never takes more than about four MiB, whatever the hidden size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: maximumHiddenSize }), (hiddenSize) => {
        expect(tokensPerFrame(hiddenSize)).toBeGreaterThanOrEqual(1)
        expect(tokensPerFrame(hiddenSize)).toBeLessThanOrEqual(maximumTokensPerFrame)
        expect(maximumSessionFrameBytes(hiddenSize)).toBeLessThanOrEqual(4 * 1024 * 1024 + 1024)
      }),
    )
  })
})
