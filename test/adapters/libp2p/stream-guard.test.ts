import { streamPair } from '@libp2p/utils'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createFrameGuard, guardStream } from '#adapters/libp2p/stream-guard.ts'
import { encodeFramePrefix } from '#contracts/wire/frame.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'

const limits = { maximumBytes: 1_000, frames: 20, seconds: 10 }
const guardOf = (nowMs = () => 0) => createFrameGuard('test', limits, nowMs)

describe('the guard of a stream', () => {
  it('lets frames within the limits through, however they are cut', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: limits.maximumBytes }), { maxLength: limits.frames })
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 700 }), (frames, cut) => {
        const stream = Uint8Array.from(
          frames.flatMap((length) => [...encodeFramePrefix(length), ...new Uint8Array(length)]),
        )
        const guard = guardOf()
        for (let offset = 0; offset < stream.length; offset += cut) guard.follow(stream.subarray(offset, offset + cut))
      }),
    )
  })

  it.each([
    ['empty frames', [0]],
    ['frames that are too long', [...encodeFramePrefix(limits.maximumBytes + 1)]],
    ['lengths that never end', [128, 128, 128, 128]],
    ['frames after a good one', [1, 7, 0]],
  ])('stops %s', (_, bytes) => {
    expect(() => guardOf().follow(Uint8Array.from(bytes))).toThrow(ProtocolViolationError)
  })

  it('stops too many frames in a while, and only then', () => {
    let now = 0
    const guard = guardOf(() => now)
    const twenty = new Uint8Array(2 * limits.frames).fill(1)
    guard.follow(twenty)
    now += limits.seconds * 1_000
    guard.follow(twenty)
    expect(() => guard.follow(Uint8Array.of(1, 1))).toThrow('more than 20 frames')
  })

  it('resets the stream before its reader sees what is wrong', async () => {
    const [near, far] = await streamPair()
    guardStream(near, limits)
    const read: number[] = []
    near.addEventListener('message', (event) => read.push(event.data.byteLength))
    far.send(Uint8Array.of(1, 7))
    await expect.poll(() => read).toEqual([2])
    far.send(Uint8Array.of(0, 0, 0))
    await expect.poll(() => near.status).toBe('aborted')
    expect(read).toEqual([2])
  })
})
