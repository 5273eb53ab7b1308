import { createDataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { summariseModel } from '#app/model-summary.ts'
import { openModelStore } from '#assembly/model-store.ts'
import { shortDigest } from '#contracts/digest.ts'
import { formatBytes, formatTable, print, printJson } from '../output.ts'
import { cancellable, createProgressLine } from './model-progress.ts'

export async function importModel(path: string, options: { name?: string; json?: true }): Promise<void> {
  const directory = dataDirectory()
  createDataDirectory(directory)
  const line = createProgressLine()
  const manifest = await cancellable((signal) =>
    openModelStore(directory).import(path, {
      ...(options.name === undefined ? {} : { name: options.name }),
      signal,
      onProgress: (progress) => line.show('Reading and checking', progress),
    }),
  ).finally(line.end)
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
