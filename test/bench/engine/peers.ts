/** The peers that we are measured against, in a package of their own (`test/bench/peers`), installed when a bench first needs it. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { progress } from '../report.ts'

const directory = resolve(import.meta.dirname, '../peers')

/** Throws when the package cannot be installed: a bench without its peers has nothing to say. */
export function installPeers(): void {
  if (existsSync(join(directory, 'node_modules', '.package-lock.json'))) return
  progress('installing the peers (about a gigabyte, once)')
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: directory, stdio: ['ignore', 2, 2] })
  if (status !== 0) throw new Error('the peers could not be installed')
}

/** A file or folder of a peer package: `node-llama-cpp/dist/index.js`. */
export function peerPath(path: string): string {
  return join(directory, 'node_modules', path)
}

/** A module of a peer package. Its types are not known here: say what is used of it. */
export async function importPeer<T>(path: string): Promise<T> {
  return (await import(pathToFileURL(peerPath(path)).href)) as T
}

/** A CommonJS package of the peers, by its name. */
export function requirePeer<T>(name: string): T {
  return createRequire(join(directory, 'package.json'))(name) as T
}
