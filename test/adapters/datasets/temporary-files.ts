/** Real files in a folder of their own, gone after each test. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'
import { createDataSource } from '#adapters/datasets/data-source.ts'
import type { DataFile } from '#contracts/api/training.ts'
import type { DataDocument, DataSource, DocumentBody } from '#core/ports/data-source.ts'

export interface TemporaryFiles {
  readonly directory: () => string
  readonly source: () => DataSource
  write(name: string, content: string | Uint8Array): Promise<DataFile>
  read(...files: readonly DataFile[]): Promise<{ documents: DataDocument[]; warnings: readonly unknown[] }>
  /** The bodies of one file with that content. */
  bodies(name: string, content: string | Uint8Array): Promise<DocumentBody[]>
}

export function useTemporaryFiles(): TemporaryFiles {
  let directory = ''
  let source: DataSource
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'quiltbee-data-'))
    source = createDataSource({ directory: join(directory, 'uploads') })
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  const write = async (name: string, content: string | Uint8Array): Promise<DataFile> => {
    await writeFile(join(directory, name), content)
    return { kind: 'path', path: join(directory, name) }
  }
  const read = async (...files: readonly DataFile[]) => {
    const data = await source.open(files)
    const documents: DataDocument[] = []
    for await (const document of data.documents()) documents.push(document)
    return { documents, warnings: data.warnings() }
  }
  return {
    directory: () => directory,
    source: () => source,
    write,
    read,
    async bodies(name, content) {
      const { documents } = await read(await write(name, content))
      return documents.map(({ body }) => body)
    },
  }
}
