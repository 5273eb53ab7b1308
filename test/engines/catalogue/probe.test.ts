import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { probeBackend } from '#engines/catalogue/probe-backend.ts'
import { judge } from '#engines/catalogue/probe-here.ts'
import { createScratchWeights } from '#engines/catalogue/scratch-weights.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'quiltbee-probe-test-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function program(name: string, source: string): string {
  const path = join(folder, `${name}.mjs`)
  writeFileSync(path, source)
  return path
}

describe('a probe in a process of its own', () => {
  it('tells that a provider is not in this build, from the real runtime', async () => {
    expect(await probeBackend('onnxruntime-coreml')).toMatchObject({
      kind: process.platform === 'darwin' ? 'works' : 'not-installed',
    })
  })

  it('survives a driver that crashes', async () => {
    const entry = program('crash', `process.kill(process.pid, 'SIGSEGV'); setInterval(() => {}, 1000)`)
    expect(await probeBackend('onnxruntime-webgpu', { entry })).toEqual({ kind: 'crashed', detail: 'ended by SIGSEGV' })
  })

  it('gives up on a driver that hangs', async () => {
    const entry = program('hang', `setInterval(() => {}, 1000)`)
    const report = await probeBackend('onnxruntime-webgpu', { entry, timeoutMs: 300 })
    expect(report).toEqual({ kind: 'timed-out', detail: 'no answer within 300 ms' })
  })

  it('reads the report below what a driver printed', async () => {
    const report = { kind: 'works', formats: ['float32'] }
    const entry = program(
      'chatty',
      `console.log('a driver says hello'); console.log(${JSON.stringify(JSON.stringify(report))})`,
    )
    expect(await probeBackend('onnxruntime-webgpu', { entry })).toEqual(report)
  })

  it.each([
    ['nothing', ''],
    ['no report', `console.log('{"kind":"works","formats":["float99"]}')`],
    ['endless output', `for (;;) process.stdout.write('x'.repeat(65536))`],
  ])('takes %s for a crash', async (name, source) => {
    const entry = program(name.replace(' ', '-'), source)
    expect((await probeBackend('onnxruntime-webgpu', { entry })).kind).toBe('crashed')
  })

  it('ends with whoever asked', async () => {
    const entry = program('wait', `setInterval(() => {}, 1000)`)
    const controller = new AbortController()
    const probing = probeBackend('onnxruntime-webgpu', { entry, signal: controller.signal })
    controller.abort()
    await expect(probing).rejects.toThrow(/abort/i)
  })
})

describe('the verdict on what was tried', () => {
  it('is the formats whose products are right', () => {
    const attempts = [
      { format: 'float32', error: 1e-7 },
      { format: 'int8', error: 0.5 },
      { format: 'int4', error: 'MatMulNBits: not implemented' },
    ] as const
    expect(judge(attempts)).toEqual({ kind: 'works', formats: ['float32'] })
  })

  it('is wrong results when all ran and none was right', () => {
    expect(judge([{ format: 'float32', error: Number.POSITIVE_INFINITY }])).toEqual({
      kind: 'wrong-results',
      detail: 'relative errors: float32 Infinity',
    })
  })

  it('tells a missing library from a missing device', () => {
    const library = { format: 'float32', error: 'Failed to load shared library' } as const
    const device = { format: 'float32', error: 'Failed to get a WebGPU adapter: No supported adapters' } as const
    expect(judge([library]).kind).toBe('not-installed')
    expect(judge([device]).kind).toBe('no-device')
  })
})

describe("a probe's weights", () => {
  const key = { modelDigest: '0', part: 'block-0', layout: 'x' }

  it('are gone when released, or when writing fails', async () => {
    const directory = mkdtempSync(join(folder, 'scratch-'))
    const weights = createScratchWeights(directory)
    const file = await weights.prepare(key, (append) => append(new Uint8Array(5)))
    expect(file.byteLength).toBe(5)
    expect(readFileSync(file.path)).toEqual(Buffer.alloc(5))
    await file.release()
    await expect(weights.prepare(key, () => Promise.reject(new Error('no more')))).rejects.toThrow('no more')
    expect(readdirSync(directory)).toEqual([])
  })
})
