/** One shell a profile: each profile has its own folder for Chromium's files, and the lock lives in there. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createDataDirectory, dataDirectory, defaultProfile } from '#adapters/files/data-directory.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import type { AppPart } from './electron-parts.ts'

/** The value of `--profile NAME` or `--profile=NAME`. Other arguments may be Chromium's and are left alone. */
export function profileFrom(argv: readonly string[]): string {
  const index = argv.findIndex((argument) => argument === '--profile' || argument.startsWith('--profile='))
  if (index === -1) return defaultProfile
  const given = argv[index] === '--profile' ? argv[index + 1] : argv[index]?.slice('--profile='.length)
  if (given === undefined) throw new InvalidInputError('--profile', 'expects a name')
  return given
}

/** The shell's own folder within a profile. Throws `InvalidInputError` for a name that is not one. */
export function createShellDirectory(profile: string, environment: NodeJS.ProcessEnv): string {
  const directory = dataDirectory({ profile, environment })
  createDataDirectory(directory)
  const shellDirectory = join(directory.profileDirectory, 'shell')
  mkdirSync(shellDirectory, { recursive: true, mode: 0o700 })
  return shellDirectory
}

/** False when a shell of this profile runs already: that one then calls its `focus`, and this one should end. */
export function claimProfile(app: AppPart, shellDirectory: string, focus: () => void): boolean {
  app.setPath('userData', shellDirectory)
  if (!app.requestSingleInstanceLock()) return false
  app.on('second-instance', focus)
  return true
}
