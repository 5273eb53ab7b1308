/**
 * Where everything of a node lives. `QUILTBEE_HOME` when set, else the platform's folder; models are shared by all profiles
 * of a home, everything else belongs to one profile:
 *
 *     <home>/models/<digest>/            base models
 *     <home>/downloads/<owner>/<name>/   what has arrived of models that are being downloaded
 *     <home>/prepared-weights/           weights as engines load them, made from the models; may be cleared at any time
 *     <home>/profiles/<name>/            key, ledger, settings, log, token and address of a running node; patches, runs and
 *                                        the data they are trained on
 */
import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import envPaths from 'env-paths'
import { InvalidInputError } from '#contracts/errors.ts'

export const defaultProfile = 'default'

export interface DataDirectory {
  readonly home: string
  readonly models: string
  readonly downloads: string
  readonly preparedWeights: string
  readonly profile: string
  readonly profileDirectory: string
  readonly ledgerFile: string
  /** What is known of patches, and the folder they lie in. */
  readonly patchesFile: string
  readonly patches: string
  readonly settingsFile: string
  readonly logFile: string
  readonly lockFile: string
  /** Address and process id of the node that runs on this profile now. */
  readonly runningNodeFile: string
  readonly accessTokenFile: string
}

/** Throws `InvalidInputError` for a profile name that could leave the folder or clash on a case-blind file system. */
export function dataDirectory(options: { profile?: string; environment?: NodeJS.ProcessEnv } = {}): DataDirectory {
  const profile = options.profile ?? defaultProfile
  if (!/^[a-z0-9][a-z0-9-]{0,31}$/.test(profile)) {
    throw new InvalidInputError(
      'profile',
      'lower-case letters, digits and dashes, at most 32, not starting with a dash',
    )
  }
  const home = homeOf(options.environment ?? process.env)
  const profileDirectory = join(home, 'profiles', profile)
  const file = (name: string) => join(profileDirectory, name)
  return {
    home,
    models: join(home, 'models'),
    downloads: join(home, 'downloads'),
    preparedWeights: join(home, 'prepared-weights'),
    profile,
    profileDirectory,
    ledgerFile: file('ledger.db'),
    patchesFile: file('patches.db'),
    patches: file('patches'),
    settingsFile: file('settings.json'),
    logFile: file('node.log'),
    lockFile: file('node.lock'),
    runningNodeFile: file('running-node.json'),
    accessTokenFile: file('access-token'),
  }
}

/** Makes the folders; the profile's is for its owner alone, as it holds the node's key. */
export function createDataDirectory(directory: DataDirectory): void {
  mkdirSync(directory.models, { recursive: true })
  mkdirSync(directory.profileDirectory, { recursive: true, mode: 0o700 })
}

function homeOf(environment: NodeJS.ProcessEnv): string {
  const named = environment['QUILTBEE_HOME']
  if (named !== undefined && named !== '') return resolve(named.replace(/^~(?=\/|$)/, homedir()))
  return envPaths('Quiltbee', { suffix: '' }).data
}
