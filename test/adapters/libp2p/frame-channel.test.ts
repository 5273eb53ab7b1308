import { streamPair } from '@libp2p/utils'
import { describe, expect, it } from 'vitest'
import { createFrameChannel, StreamLostError, StreamTimeoutError } from '#adapters/libp2p/frame-channel.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'

const soon = { waitMs: 1_000, frameMs: 1_000, timeoutMs: 1_000 }

async function channels() {
  const [near, far] = await streamPair()
  return { near: createFrameChannel(near), far: createFrameChannel(far), nearStream: near, farStream: far }
}

describe('a frame channel', () => {
  it('carries frames in order and counts every byte once on each side', async () => {
    const { near, far } = await channels()
    await near.write([Uint8Array.of(1, 2), Uint8Array.of(3)], soon)
    await near.write([new Uint8Array(200)], soon)
    expect(await far.read(10, soon)).toEqual(Uint8Array.of(1, 2, 3))
    expect(await far.read(200, soon)).toEqual(new Uint8Array(200))
    expect(near.bytesSent).toBe(1 + 3 + 2 + 200)
    expect(far.bytesReceived).toBe(near.bytesSent)
  })

  it('ends with null between frames, and with an error inside one', async () => {
    const whole = await channels()
    await whole.near.write([Uint8Array.of(1)], soon)
    void whole.near.close(500)
    expect(await whole.far.read(10, soon)).toEqual(Uint8Array.of(1))
    expect(await whole.far.read(10, soon)).toBeNull()

    const cut = await channels()
    cut.nearStream.send(Uint8Array.of(5, 1, 2))
    void cut.near.close(500)
    await expect(cut.far.read(10, soon)).rejects.toBeInstanceOf(StreamLostError)
  })

  it('tells waiting and stalled apart', async () => {
    const { far, nearStream } = await channels()
    const startedAtMs = performance.now()
    await expect(far.read(10, { waitMs: 50, frameMs: 5_000 })).rejects.toBeInstanceOf(StreamTimeoutError)
    nearStream.send(Uint8Array.of(5))
    await expect(far.read(10, { waitMs: 5_000, frameMs: 50 })).rejects.toBeInstanceOf(StreamTimeoutError)
    expect(performance.now() - startedAtMs).toBeLessThan(1_000)
  })

  it('refuses a length over the limit at once', async () => {
    const { far, nearStream } = await channels()
    nearStream.send(Uint8Array.of(0xff, 0xff, 0x7f))
    await expect(far.read(100, soon)).rejects.toBeInstanceOf(ProtocolViolationError)
  })

  it('stops waiting when the caller gives up, with the caller’s reason', async () => {
    const { far } = await channels()
    const controller = new AbortController()
    const reading = far.read(10, { ...soon, signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(reading).rejects.toThrow('enough')
  })

  it('fails reads and writes as soon as the other side resets', async () => {
    const { near, far } = await channels()
    const reading = far.read(10, soon)
    near.abort(new Error('gone'))
    await expect(reading).rejects.toBeInstanceOf(StreamLostError)
    expect(far.closed.aborted).toBe(true)
    await expect(far.write([Uint8Array.of(1)], soon)).rejects.toBeInstanceOf(StreamLostError)
    await far.close(100)
  })

  it('pauses the stream while nobody reads, and goes on when somebody does', async () => {
    const { near, far, farStream } = await channels()
    const frame = new Uint8Array(50_000)
    for (let count = 0; count < 4; count += 1) void near.write([frame], soon)
    await expect.poll(() => farStream.readStatus).toBe('paused')
    for (let count = 0; count < 4; count += 1) expect((await far.read(50_000, soon))?.length).toBe(50_000)
  })
})
