import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { compileKernels } from '#engines/kernels/compile.ts'

/** Installing without development dependencies leaves the compiler out. */
function compilerIsInstalled(): boolean {
  try {
    createRequire(import.meta.url).resolve('assemblyscript/package.json')
    return true
  } catch {
    return false
  }
}

test('kernels.wasm is what its sources compile to', async ({ skip }) => {
  if (!compilerIsInstalled()) skip('the compiler (assemblyscript) is not installed')
  const kept = readFileSync(new URL('../../../src-main/engines/kernels/kernels.wasm', import.meta.url))
  expect(Buffer.compare(await compileKernels(), kept), 'run node src-main/engines/kernels/compile.ts').toBe(0)
})
