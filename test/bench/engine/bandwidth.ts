/**
 * How fast this machine reads memory: the limit of decode, in which every weight is read once a token. WASM SIMD loads over
 * more memory than any cache holds, in as many threads at once as are asked for.
 */
import { once } from 'node:events'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { median } from '../report.ts'

/** Of each thread. */
const bytes = 512 << 20
const passes = 12

/** What one thread is asked: to read all of its memory; and answers: how long that took. */
export interface BandwidthInit {
  readonly wasm: Uint8Array
  readonly bytes: number
}

/** GB (10⁹ bytes) a second, the median of the passes. */
export async function measureReadBandwidth(threads: number): Promise<number> {
  const workerData: BandwidthInit = { wasm: await compileReader(), bytes }
  const workers = Array.from(
    { length: threads },
    () => new Worker(join(import.meta.dirname, 'bandwidth-thread.ts'), { workerData }),
  )
  try {
    await Promise.all(workers.map((worker) => once(worker, 'message')))
    const rates: number[] = []
    for (let pass = 0; pass < passes; pass++) rates.push((threads * bytes) / 1e6 / (await onePass(workers)))
    return median(rates)
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
}

/** Milliseconds until the last has read all of its memory. */
async function onePass(workers: readonly Worker[]): Promise<number> {
  const startMs = performance.now()
  await Promise.all(
    workers.map((worker) => {
      worker.postMessage('read')
      return once(worker, 'message')
    }),
  )
  return performance.now() - startMs
}

/** Four loads at a time, so that none waits for another's result. */
const source = `
export function read(end: usize): i64 {
  let a = i64x2.splat(0), b = a, c = a, d = a;
  for (let at: usize = 0; at < end; at += 128) {
    a = v128.xor(a, v128.xor(v128.load(at), v128.load(at, 64)));
    b = v128.xor(b, v128.xor(v128.load(at, 16), v128.load(at, 80)));
    c = v128.xor(c, v128.xor(v128.load(at, 32), v128.load(at, 96)));
    d = v128.xor(d, v128.xor(v128.load(at, 48), v128.load(at, 112)));
  }
  return i64x2.extract_lane(v128.xor(v128.xor(a, b), v128.xor(c, d)), 0);
}
`

async function compileReader(): Promise<Uint8Array> {
  const { compileString } = await import('assemblyscript/asc')
  const { error, binary, stderr } = await compileString(source, {
    optimizeLevel: 3,
    enable: ['simd'],
    runtime: 'stub',
    noAssert: true,
    importMemory: true,
    noExportMemory: true,
  })
  if (error !== null || binary === null) throw new Error(`the reader does not compile: ${stderr.toString()}`)
  return binary
}
