import { serialize } from 'node:v8'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Packet } from '#engines/worker/channel.ts'
import { createFrameDecoder, encodeFrame, maximumHeadBytes } from '#engines/worker/frames.ts'

const packets: fc.Arbitrary<Packet> = fc.record({
  head: fc.object({ values: [fc.double(), fc.string(), fc.integer(), fc.constant(null), fc.boolean()] }),
  arrays: fc.array(fc.oneof(fc.float32Array({ maxLength: 50 }), fc.uint32Array({ maxLength: 50 })), { maxLength: 4 }),
})
const bytesOf = (packet: Packet) => Buffer.concat(encodeFrame(packet))
const frame = (head: Uint8Array) => {
  const prefix = Buffer.alloc(4)
  prefix.writeUInt32LE(head.length)
  return Buffer.concat([prefix, head])
}

describe('frames', () => {
  it('arrive as they were sent, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(packets, { maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        (sent, cuts) => {
          const bytes = Buffer.concat(sent.map(bytesOf))
          const decode = createFrameDecoder()
          const received: Packet[] = []
          for (let start = 0, i = 0; start < bytes.length; i++) {
            const end = start + (cuts[i % cuts.length] as number)
            received.push(...decode(bytes.subarray(start, end)))
            start = end
          }
          expect(received).toEqual(sent)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('carry numbers that are none', () => {
    const head = { lossSum: Number.NaN, rate: Number.POSITIVE_INFINITY, left: undefined }
    expect(createFrameDecoder()(bytesOf({ head, arrays: [] }))).toEqual([{ head, arrays: [] }])
  })

  it('read a view’s part of its buffer, and give arrays with buffers of their own', () => {
    const view = new Float32Array([0, 1, 2, 3]).subarray(1, 3)
    const [packet] = createFrameDecoder()(bytesOf({ head: null, arrays: [view] }))
    expect(packet?.arrays).toEqual([Float32Array.of(1, 2)])
    expect(packet?.arrays[0]?.buffer.byteLength).toBe(8)
  })

  it('of absurd lengths are refused before anything is allocated for them', () => {
    const absurd = [
      { head: null, arrays: [{ kind: 'float32', length: 2 ** 40 }] },
      { head: null, arrays: [{ kind: 'float32', length: -1 }] },
      { head: null, arrays: [{ kind: 'float64', length: 1 }] },
      { head: null, arrays: 5 },
      null,
    ]
    for (const head of absurd) expect(() => createFrameDecoder()(frame(serialize(head)))).toThrow(RangeError)
    const prefix = Buffer.alloc(4)
    prefix.writeUInt32LE(maximumHeadBytes + 1)
    expect(() => createFrameDecoder()(prefix)).toThrow(RangeError)
    expect(() => createFrameDecoder()(Buffer.alloc(4))).toThrow(RangeError)
  })

  it('that are noise throw or wait, and never give a packet of something else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        try {
          for (const { arrays } of createFrameDecoder()(frame(noise))) expect(Array.isArray(arrays)).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(Error)
        }
      }),
    )
  })
})
