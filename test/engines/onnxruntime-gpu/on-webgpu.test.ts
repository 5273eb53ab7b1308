/**
 * The products on WebGPU. A driver is found by what a process was started with, so this file runs itself once more, in a
 * process that has SwiftShader's: there it is the compliance suite.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createTemporaryWeightCache } from '#adapters/files/weight-cache.ts'
import { createBlockEngine } from '#engines/blocks/block-engine.ts'
import { probeHere } from '#engines/catalogue/probe-here.ts'
import { createOnnxruntimeGpuBackend } from '#engines/onnxruntime-gpu/onnxruntime-gpu-backend.ts'
import { describeBatches } from '#test/compliance/engine/batches.ts'
import { describeNumerics } from '#test/compliance/engine/numerics.ts'
import { describePatches } from '#test/compliance/engine/patches.ts'
import { prepareEngine } from '#test/compliance/engine/under-test.ts'
import { describeLinearBackend } from '#test/compliance/linear-backend.ts'
import { hasSwiftShader, swiftShaderEnvironment } from '#test/helpers/swiftshader.ts'

const inner = 'QUILTBEE_TEST_ON_WEBGPU'
const repository = join(import.meta.dirname, '../../..')

if (process.env[inner] === '1') {
  const weightCache = createTemporaryWeightCache()
  const create = () => createOnnxruntimeGpuBackend({ weightCache }, 'webgpu')
  describeLinearBackend('onnxruntime on WebGPU', create, { tolerances: { float32: 1e-5, int8: 0.02, int4: 0.2 } })

  // The parts of the engine's suite in which a backend takes part; sessions and forks are the same code for all.
  describe('an engine on WebGPU', () => {
    const suite = prepareEngine(() => createBlockEngine(create()), { tolerance: 1e-5 })
    describeNumerics(suite)
    describeBatches(suite)
    describePatches(suite)
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
      () => {
        const vitest = join(repository, 'node_modules/vitest/vitest.mjs')
        const run = spawnSync(
          process.execPath,
          [vitest, 'run', '--project', 'unit', '--reporter', 'json', import.meta.filename],
          {
            cwd: repository,
            env: { ...swiftShaderEnvironment(), [inner]: '1' },
            encoding: 'utf8',
            timeout: 290_000,
            maxBuffer: 1 << 26,
          },
        )
        const report = JSON.parse(run.stdout.slice(run.stdout.indexOf('{"')))
        const failed = report.testResults.flatMap(
          (file: { assertionResults: { status: string; fullName: string }[] }) =>
            file.assertionResults.filter(({ status }) => status !== 'passed').map(({ fullName }) => fullName),
        )
        expect(failed).toEqual([])
        expect(report.numPassedTests).toBeGreaterThan(70)
        expect(run.status).toBe(0)
      },
    )
  })
}
