/**
 * Lists what others wrote and the packed app contains, with the licence each gave. `node test/helpers/list-licences.ts` writes
 * `resources/licences/third-party.md`; a test holds the committed file against the lock file.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const repository = resolve(import.meta.dirname, '../..')
export const thirdPartyFile = join(repository, 'resources/licences/third-party.md')

export interface ShippedPackage {
  readonly name: string
  readonly licence: string
  /** Whether the package brings its licence's text, which is then packed with it. */
  readonly bringsText: boolean
}

interface LockedPackage {
  readonly license?: string
  readonly dev?: boolean
  readonly devOptional?: boolean
}

/** Every package that is not for development alone, once by name, in order of name. */
export function shippedPackages(): readonly ShippedPackage[] {
  const lock = JSON.parse(readFileSync(join(repository, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, LockedPackage>>
  }
  const found = new Map<string, ShippedPackage>()
  for (const [path, locked] of Object.entries(lock.packages)) {
    if (path === '' || locked.dev || locked.devOptional) continue
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    found.set(name, { name, licence: locked.license ?? 'unknown', bringsText: bringsText(join(repository, path)) })
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function bringsText(directory: string): boolean {
  return existsSync(directory) && readdirSync(directory).some((file) => /^(licen[cs]e|copying)/i.test(file))
}

/** Licence names of an SPDX expression: `(MIT OR CC0-1.0)` -> `MIT`, `CC0-1.0`. */
export function licenceNames(expression: string): readonly string[] {
  return expression.split(/[()\s]+|\bOR\b|\bAND\b/).filter((name) => name !== '')
}

export function thirdPartyList(packages: readonly ShippedPackage[]): string {
  const rows = packages.map(({ name, licence }) => `| ${name} | ${licence} |`)
  return `# Packages in the app

Written by \`node test/helpers/list-licences.ts\` from the lock file.

| package | licence |
|---|---|
${rows.join('\n')}
`
}

if (import.meta.main) writeFileSync(thirdPartyFile, thirdPartyList(shippedPackages()))
