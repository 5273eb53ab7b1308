/** One thread of `bandwidth.ts`: says when its memory is there, then each time it has read all of it. */
import { parentPort, workerData } from 'node:worker_threads'
import type { BandwidthInit } from './bandwidth.ts'

const { wasm, bytes } = workerData as BandwidthInit
const pages = bytes / 65_536
const memory = new WebAssembly.Memory({ initial: pages, maximum: pages })
// Pages that were never written to are all the same one.
new Uint8Array(memory.buffer).fill(1)
const { instance } = await WebAssembly.instantiate(wasm as BufferSource, { env: { memory } })
const { read } = instance.exports as { readonly read: (end: number) => bigint }

parentPort?.on('message', () => {
  read(bytes)
  parentPort?.postMessage('read')
})
parentPort?.postMessage('ready')
