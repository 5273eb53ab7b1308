/** Finds a Chromium for the browser tests, or installs Debian's when it may (root, apt-get). */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const usualPlaces = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe',
]

export function findChromium(environment: NodeJS.ProcessEnv = process.env): string | null {
  const named = environment['QUILTBEE_CHROMIUM']
  return [...(named ? [named] : []), ...usualPlaces].find((path) => existsSync(path)) ?? null
}

/** The path of a Chromium, or why there is none. */
export function findOrInstallChromium(): { readonly path: string } | { readonly missing: string } {
  const found = findChromium()
  if (found !== null) return { path: found }
  if (process.getuid?.() !== 0) return { missing: 'no Chromium found, and installing one takes root' }
  if (spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status !== 0) {
    return { missing: 'no Chromium found, and there is no apt-get to install one with' }
  }
  process.stderr.write('Installing Chromium with apt-get …\n')
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const options = { stdio: ['ignore', 'ignore', 'inherit'] as const, env: environment }
  spawnSync('apt-get', ['update', '-qq'], { ...options, stdio: ['ignore', 'ignore', 'inherit'] })
  spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], {
    ...options,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const installed = findChromium()
  return installed === null ? { missing: 'apt-get could not install Chromium' } : { path: installed }
}
