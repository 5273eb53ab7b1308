import { rm } from 'node:fs/promises'
import { createDataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { downloadModel, type PlannedDownload, planDownload } from '#app/download-model.ts'
import { summariseModel } from '#app/model-summary.ts'
import { openModelHub } from '#assembly/model-hub.ts'
import { openModelStore } from '#assembly/model-store.ts'
import { shortDigest } from '#contracts/digest.ts'
import { codeOf } from '#contracts/errors.ts'
import { formatBytes, formatTable, print, printJson } from '../output.ts'
import { cancellable, createProgressLine } from './model-progress.ts'

export interface DownloadOptions {
  readonly revision?: string
  readonly file?: string
  readonly name?: string
  readonly json?: true
}

const phases = { download: 'Downloading', import: 'Reading and checking' } as const

export async function downloadFromHub(repository: string, options: DownloadOptions): Promise<void> {
  const { json, name, ...wanted } = options
  const directory = dataDirectory()
  const hub = openModelHub()
  const manifest = await cancellable(async (signal) => {
    const plan = await planDownload(hub, { repository, ...wanted, signal })
    process.stderr.write(`${describePlan(plan)}\n`)
    createDataDirectory(directory)
    const components = { hub, models: openModelStore(directory), downloads: directory.downloads, removeFolder }
    const line = createProgressLine()
    const onProgress: NonNullable<Parameters<typeof downloadModel>[2]>['onProgress'] = ({ phase, ...progress }) =>
      line.show(phases[phase], progress)
    try {
      return await downloadModel(components, plan, { ...(name === undefined ? {} : { name }), signal, onProgress })
    } catch (error) {
      line.end()
      if (!json) process.stderr.write(`${whatRemains(error, directory.downloads)}\n`)
      throw error
    } finally {
      line.end()
    }
  })
  const summary = summariseModel(manifest)
  if (json) return printJson(summary)
  print(`Imported ${summary.name} (${shortDigest(summary.digest)}), ${formatBytes(summary.sizeBytes)}.`)
}

/** On stderr, before anything large is fetched: results alone are on stdout. */
function describePlan({ model, files, bytesTotal }: PlannedDownload): string {
  const licence = model.licence === null ? 'no licence stated' : `licence ${model.licence}`
  const heading = `${model.repository} at ${shortDigest(model.revision)}, ${licence}: ${formatBytes(bytesTotal)}`
  return `${heading}\n${formatTable(files.map(({ path, sizeBytes }) => [`  ${path}`, formatBytes(sizeBytes)]))}`
}

function whatRemains(error: unknown, downloads: string): string {
  const isWorthAnotherTry = ['download-failed', 'cancelled', 'storage-failed'].includes(codeOf(error))
  if (isWorthAnotherTry) return 'What has arrived is kept: run the same again to go on.'
  return `What was downloaded is kept in ${downloads}.`
}

async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
}
