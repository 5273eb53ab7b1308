import { createDataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { summariseModel } from '#app/model-summary.ts'
import { openModelStore } from '#assembly/model-store.ts'
import { shortDigest } from '#contracts/digest.ts'
import { formatBytes, formatTable, print, printJson } from '../output.ts'

export async function importModel(path: string, options: { name?: string; json?: true }): Promise<void> {
  const directory = dataDirectory()
  createDataDirectory(directory)
  const store = openModelStore(directory)
  const { signal, done } = cancelOnInterrupt()
  const manifest = await store.import(path, {
    ...(options.name === undefined ? {} : { name: options.name }),
    signal,
    onProgress: showProgress,
  })
  done()
  const summary = summariseModel(manifest)
  if (options.json) return printJson(summary)
  print(`Imported ${summary.name} (${shortDigest(summary.digest)}), ${formatBytes(summary.sizeBytes)}.`)
}

export async function listModels(options: { json?: true }): Promise<void> {
  const summaries = (await openModelStore(dataDirectory()).list()).map(summariseModel)
  if (options.json) return printJson(summaries)
  const rows = summaries.map((model) => [
    model.name,
    shortDigest(model.digest),
    String(model.config.blockCount),
    String(model.config.contextLength),
    formatBytes(model.sizeBytes),
  ])
  print(formatTable([['name', 'digest', 'blocks', 'context', 'size'], ...rows]))
}

function showProgress(progress: { bytesDone: number; bytesTotal: number }): void {
  if (!process.stderr.isTTY) return
  const percent = Math.floor((100 * progress.bytesDone) / Math.max(1, progress.bytesTotal))
  process.stderr.write(`\rReading and checking: ${percent} %${percent === 100 ? '\n' : ''}`)
}

function cancelOnInterrupt(): { signal: AbortSignal; done(): void } {
  const controller = new AbortController()
  const abort = () => controller.abort()
  process.once('SIGINT', abort)
  return { signal: controller.signal, done: () => process.off('SIGINT', abort) }
}
