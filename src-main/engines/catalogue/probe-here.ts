/** Multiplies a small random block with a backend, in this process, and compares with float64. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { EngineFailedError } from '#core/errors.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import { type ExpectedProducts, expectProducts, largestError } from '../shared/check-products.ts'
import type { LinearBackend } from '../shared/linear-backend.ts'
import { createRandomBlock } from '../shared/random-block.ts'
import type { ProbeReport } from './probe-report.ts'

/** Small, with rows that are whole groups of weights, and more rows than one kind of kernel takes. */
const config: ModelConfig = {
  architecture: 'llama',
  hiddenSize: 256,
  intermediateSize: 384,
  blockCount: 1,
  headCount: 4,
  kvHeadCount: 2,
  headSize: 64,
  vocabularySize: 2,
  contextLength: 1,
  rmsNormEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeStyle: 'half',
  tiedHead: true,
}
const rows = 5

/** What rounding the weights to each format may cost on uniform ones, twice over. */
const largestErrors: Readonly<Record<WeightFormat, number>> = { float32: 1e-3, float16: 2e-3, int8: 2e-2, int4: 0.15 }

type Attempt = { readonly format: WeightFormat; readonly error: number | string }

/** Resolves whatever the backend does, save that it ends the process. */
export async function probeHere(create: () => Promise<LinearBackend>): Promise<ProbeReport> {
  const model = createRandomBlock(config)
  const expected = await expectProducts(model, rows)
  try {
    const backend = await create()
    const attempts: Attempt[] = []
    for (const format of backend.formats) attempts.push({ format, error: await attempt(backend, format, expected) })
    return judge(attempts)
  } catch (error) {
    return judge([{ format: 'float32', error: messageOf(error) }])
  }
}

/** How far off its products are, or why there are none. */
async function attempt(
  backend: LinearBackend,
  format: WeightFormat,
  expected: ExpectedProducts,
): Promise<number | string> {
  try {
    const products = await backend.loadBlock(createRandomBlock(config), 0, { threads: 1, format })
    const error = await largestError(products, expected)
    await products.dispose()
    return error
  } catch (error) {
    return messageOf(error)
  }
}

function messageOf(error: unknown): string {
  if (error instanceof EngineFailedError) return String(error.params['why'])
  return error instanceof Error ? error.message : String(error)
}

/** What runtimes say when a part of them is not there. */
const missingParts =
  /failed to load (shared )?library|not supported in this build|backend not found|cannot find (package|module)|native addon/i

/** Formats whose products are right; else the first reason. */
export function judge(attempts: readonly Attempt[]): ProbeReport {
  const formats = attempts.filter(({ format, error }) => typeof error === 'number' && error < largestErrors[format])
  if (formats.length > 0) return { kind: 'works', formats: formats.map(({ format }) => format) }
  const failed = attempts.find(({ error }) => typeof error === 'string')
  if (failed === undefined) {
    const errors = attempts.map(({ format, error }) => `${format} ${Number(error).toPrecision(3)}`)
    return { kind: 'wrong-results', detail: `relative errors: ${errors.join(', ')}` }
  }
  const detail = String(failed.error).slice(0, 500)
  return { kind: missingParts.test(detail) ? 'not-installed' : 'no-device', detail }
}
