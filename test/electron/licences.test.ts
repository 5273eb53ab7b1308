import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { licenceNames, shippedPackages, thirdPartyFile, thirdPartyList } from '#test/helpers/list-licences.ts'

const texts = join(import.meta.dirname, '../../resources/licences/texts')
const packages = shippedPackages()
/** Licences under which a package may be packed with an MIT program without asking anyone. */
const welcome = new Set(['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'CC0-1.0', 'ISC', 'MIT', 'Unlicense'])

describe('the licences', () => {
  it('of all packages in the app are listed; run test/helpers/list-licences.ts after a change of packages', () => {
    expect(readFileSync(thirdPartyFile, 'utf8')).toBe(thirdPartyList(packages))
  })

  it('of every package allow it to be packed with ours', () => {
    const others = packages.filter(({ licence }) => licenceNames(licence).some((name) => !welcome.has(name)))
    expect(others).toEqual([])
  })

  it('of packages that do not bring the text are in the resources', () => {
    const missing = packages
      .filter(({ bringsText }) => !bringsText)
      .flatMap(({ licence }) => licenceNames(licence))
      .filter((name) => !existsSync(join(texts, `${name}.txt`)))
    expect(missing).toEqual([])
  })
})
