/** What a machine with nothing but Node and npm needs of the lock file: no compiling, no holes, no fixed registry. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'

interface LockedPackage {
  readonly version?: string
  readonly resolved?: string
  readonly gypfile?: boolean
  readonly hasInstallScript?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const read = (name: string) => JSON.parse(readFileSync(resolve(import.meta.dirname, '../..', name), 'utf8'))
const packages: Readonly<Record<string, LockedPackage>> = read('package-lock.json').packages
const manifest: {
  allowScripts: Record<string, boolean>
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
} = read('package.json')
const nameOf = (place: string) => place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length)
const installed = new Set(Object.keys(packages).map(nameOf))

test('better-sqlite3 is not compiled: its entry says "gypfile": false (npm install drops it; put it back by hand)', () => {
  expect(packages['node_modules/better-sqlite3']?.gypfile).toBe(false)
})

test('every package with an install script is allowed or denied by name', () => {
  const undecided = Object.entries(packages)
    .filter(([, { hasInstallScript }]) => hasInstallScript === true)
    .map(([place]) => nameOf(place))
    .filter((name) => !(name in manifest.allowScripts) && name !== 'fsevents')
  expect(undecided).toEqual([])
})

test('every platform’s optional package is locked, so that npm ci works on all of them', () => {
  const holes = Object.entries(packages).flatMap(([place, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter((name) => !installed.has(name))
      .map((name) => `${place}: ${name}`),
  )
  expect(holes).toEqual([])
})

test('no registry is written down', () => {
  expect(Object.values(packages).filter(({ resolved }) => resolved !== undefined)).toEqual([])
})

test('direct dependencies are pinned to one version', () => {
  const all = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })
  expect(all.filter(([, range]) => !/^\d+\.\d+\.\d+$/.test(range))).toEqual([])
})
