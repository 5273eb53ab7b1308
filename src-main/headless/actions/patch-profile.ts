/** Which profile a command on patches looks into. */
import { existsSync } from 'node:fs'
import { type DataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { InvalidInputError } from '#contracts/errors.ts'

export interface ProfileOptions {
  readonly profile?: string
  readonly json?: true
}

/** Looking must not make a new profile out of a misspelt name. */
export function existingProfile(options: ProfileOptions): DataDirectory {
  const directory = dataDirectory(options.profile === undefined ? {} : { profile: options.profile })
  if (options.profile === undefined || existsSync(directory.profileDirectory)) return directory
  throw new InvalidInputError('profile', `there is none called ${directory.profile} in ${directory.home}`)
}
