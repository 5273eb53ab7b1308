/** What the operating system says about files, told apart from every other failure. */
import { StorageError } from './errors.ts'

/** `ENOSPC`, `EACCES` …; null for an error that is not the operating system's. */
export function systemCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code)
    ? error.code
    : null
}

/** Runs `work` on the file or folder `where`; what the operating system refuses becomes a `StorageError`. */
export async function namingStorage<T>(where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const code = systemCode(error)
    throw code === null ? error : new StorageError(where, sentenceOf(code), { cause: error })
  }
}

function sentenceOf(code: string): string {
  if (code === 'ENOSPC' || code === 'EDQUOT') return 'no space left on the disk'
  if (code === 'EROFS') return 'the disk is read-only'
  if (code === 'EACCES' || code === 'EPERM') return 'writing is not permitted'
  return `the disk said ${code}`
}
