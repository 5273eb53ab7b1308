/** Copies of data files in a run's folder: `<directory>/<number>/<name>`, each there as a whole or not at all. */
import { constants } from 'node:fs'
import { chmod, copyFile, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { namingStorage } from '#core/storage-errors.ts'
import { safeFileName } from './file-name.ts'
import { type FoundFile, findFile } from './open-file.ts'

/** -> paths of the copies, in the files' order. What an earlier try left is replaced. */
export async function keepFiles(files: readonly FoundFile[], directory: string): Promise<readonly string[]> {
  return namingStorage(directory, async () => {
    const paths: string[] = []
    for (const [index, file] of files.entries()) paths.push(await keepFile(file, join(directory, String(index + 1))))
    return paths
  })
}

async function keepFile(file: FoundFile, folder: string): Promise<string> {
  await findFile(file.path, file.name)
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const place = join(folder, safeFileName(file.name))
  const partial = `${place}.part`
  await copyFile(file.path, partial, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
  await chmod(partial, 0o600)
  await makeDurable(partial)
  await rename(partial, place)
  return place
}

async function makeDurable(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
