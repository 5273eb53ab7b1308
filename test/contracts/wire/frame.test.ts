import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createFrameAssembler, encodeFramePrefix, maximumFrameBytes } from '#contracts/wire/frame.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'

const frameOf = (body: Uint8Array) => Uint8Array.of(...encodeFramePrefix(body.length), ...body)

function assembled(...chunks: readonly Uint8Array[]) {
  const assembler = createFrameAssembler('test')
  for (const chunk of chunks) assembler.push(chunk)
  return assembler
}

describe('frames', () => {
  it('come out as they went in, however the bytes were cut', () => {
    const bodies = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 6 })
    fc.assert(
      fc.property(bodies, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (sent, cuts) => {
        const stream = Uint8Array.from(sent.flatMap((body) => [...frameOf(body)]))
        const assembler = createFrameAssembler('test')
        const received: Uint8Array[] = []
        for (let offset = 0, turn = 0; offset < stream.length; turn += 1) {
          const length = cuts[turn % cuts.length] ?? 1
          assembler.push(stream.slice(offset, offset + length))
          offset += length
          for (let body = assembler.next(300); body !== null; body = assembler.next(300)) received.push(body)
        }
        expect(received).toEqual(sent)
        expect(assembler.bufferedBytes).toBe(0)
        expect(assembler.begun).toBe(false)
      }),
    )
  })

  it('of random bytes are frames or protocol violations, and never hold more than was pushed', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
        const assembler = createFrameAssembler('test')
        let pushed = 0
        try {
          for (const chunk of chunks) {
            assembler.push(chunk)
            pushed += chunk.length
            for (let body = assembler.next(64); body !== null; body = assembler.next(64)) {
              expect(body.length).toBeLessThanOrEqual(64)
            }
            expect(assembler.bufferedBytes).toBeLessThanOrEqual(pushed)
          }
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolationError)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it.each([
    ['of 2^32 - 1 bytes', [0xff, 0xff, 0xff, 0xff, 0x0f], 'more than four bytes'],
    ['of 2^53 bytes', [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10], 'more than four bytes'],
    ['of -1 bytes', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], 'more than four bytes'],
    ['whose length never ends', new Array<number>(100).fill(0x80), 'more than four bytes'],
    ['above the limit of the moment', [0x81, 0x08], 'at most 1024'],
    ['without a body', [0x00], 'empty frame'],
    ['with padding in their length', [0x81, 0x00], 'shortest form'],
  ])('%s are refused before a byte of the body arrives', (_, prefix, complaint) => {
    const assembler = assembled(Uint8Array.from(prefix))
    expect(() => assembler.next(1024)).toThrow(ProtocolViolationError)
    expect(() => assembled(Uint8Array.from(prefix)).next(1024)).toThrow(complaint)
  })

  it('are a view where they arrived in one piece', () => {
    const chunk = frameOf(Uint8Array.of(1, 2, 3))
    expect(assembled(chunk).next(8)?.buffer).toBe(chunk.buffer)
  })

  it('are plain bytes, though they arrived in a Buffer', () => {
    const body = assembled(Buffer.from([2, 1, 2])).next(8)
    expect(body?.constructor).toBe(Uint8Array)
    expect(body).toEqual(Uint8Array.of(1, 2))
  })

  it('are begun by the first byte of their length', () => {
    const assembler = assembled(Uint8Array.of(0x80))
    expect(assembler.next(1024)).toBeNull()
    expect(assembler.begun).toBe(true)
    assembler.push(Uint8Array.of(0x01))
    expect(assembler.next(1024)).toBeNull()
    expect(assembler.begun).toBe(true)
  })

  it('have a length of at most four bytes', () => {
    expect(encodeFramePrefix(maximumFrameBytes)).toEqual(Uint8Array.of(0xff, 0xff, 0xff, 0x7f))
    for (const length of [0, -1, 0.5, Number.NaN, maximumFrameBytes + 1]) {
      expect(() => encodeFramePrefix(length)).toThrow(RangeError)
    }
  })
})
