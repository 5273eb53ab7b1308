/**
 * The products on WebGPU. A driver is found by what a process was started with, so this file runs itself once more, in a
 * process that has SwiftShader's: there it is the compliance suite.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { createTemporaryWeightCache } from '#adapters/files/weight-cache.ts'
import { createBlockEngine } from '#engines/blocks/block-engine.ts'
import { probeHere } from '#engines/catalogue/probe-here.ts'
import { createOnnxruntimeGpuBackend } from '#engines/onnxruntime-gpu/onnxruntime-gpu-backend.ts'
import { describeBatches } from '#test/compliance/engine/batches.ts'
import { prepareEngine } from '#test/compliance/engine/under-test.ts'
import { describeLinearBackend } from '#test/compliance/linear-backend.ts'
import { hasSwiftShader, swiftShaderEnvironment } from '#test/helpers/swiftshader.ts'

const inner = 'QUILTBEE_TEST_ON_WEBGPU'
const reportSchema = z.object({
  testResults: z.array(
    z.object({
      assertionResults: z.array(
        z.object({ status: z.string(), fullName: z.string(), failureMessages: z.array(z.string()) }),
      ),
    }),
  ),
})
const repository = join(import.meta.dirname, '../../..')

if (process.env[inner] === '1') {
  const weightCache = createTemporaryWeightCache()
  const create = () => createOnnxruntimeGpuBackend({ weightCache }, 'webgpu')
  describeLinearBackend('onnxruntime on WebGPU', create, { tolerances: { float32: 1e-5, int8: 0.02, int4: 0.2 } })

  // The part of the engine's suite in which blocks run whole: software shaders take minutes for all of it.
  describe('an engine on WebGPU', () => {
    const suite = prepareEngine(() => createBlockEngine(create()), { tolerance: 1e-5 })
    describeBatches(suite)
  })

  describe('a probe of WebGPU', () => {
    it('finds all formats right on SwiftShader', async () => {
      expect(await probeHere(async () => create())).toEqual({ kind: 'works', formats: ['float32', 'int8', 'int4'] })
    })
  })
} else {
  const note = hasSwiftShader ? '' : ' (SKIPPED: no SwiftShader in /usr/lib/chromium)'
  describe(`onnxruntime on WebGPU${note}`, () => {
    it.skipIf(!hasSwiftShader)(
      'passes the compliance suite in a process with SwiftShader',
      { timeout: 300_000 },
      async () => {
        const vitest = join(repository, 'node_modules/vitest/vitest.mjs')
        const folder = mkdtempSync(join(tmpdir(), 'quiltbee-webgpu-'))
        const outputFile = join(folder, 'report.json')
        const options = ['--project', 'unit', '--reporter', 'json', '--outputFile', outputFile]
        try {
          const child = spawn(process.execPath, [vitest, 'run', ...options, import.meta.filename], {
            cwd: repository,
            env: { ...swiftShaderEnvironment(), [inner]: '1' },
            stdio: ['ignore', 'ignore', 'pipe'],
            timeout: 290_000,
          })
          let stderr = ''
          child.stderr.setEncoding('utf8').on('data', (text: string) => {
            stderr += text
          })
          const [status] = await once(child, 'close')
          expect(existsSync(outputFile), stderr).toBe(true)
          const report = reportSchema.parse(JSON.parse(readFileSync(outputFile, 'utf8')))
          const results = report.testResults.flatMap(({ assertionResults }) => assertionResults)
          expect(results.filter((result) => result.status !== 'passed')).toEqual([])
          expect(results.length).toBeGreaterThan(30)
          expect(status).toBe(0)
        } finally {
          rmSync(folder, { recursive: true, force: true })
        }
      },
    )
  })
}
