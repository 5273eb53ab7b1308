import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'
import { makePatch, pieces } from '#test/helpers/make-patch.ts'
import { createScratchLibrary } from './scratch-library.ts'

let scratch: ReturnType<typeof createScratchLibrary>
beforeEach(() => {
  scratch = createScratchLibrary()
})
afterEach(() => scratch.remove())

const patch = await makePatch()
const missing = digestSchema.parse('00'.repeat(32))
const wholePath = (digest: Digest) => join(scratch.directory, `${digest}.patch`)

/** Rows and files say the same, and what is whole can be read. */
async function expectAgreement(library: PatchLibrary): Promise<void> {
  const kept = await library.list()
  const whole = kept.filter(({ complete }) => complete)
  const files = readdirSync(scratch.directory).filter((name) => name.endsWith('.patch'))
  expect(files.sort()).toEqual(whole.map(({ digest }) => `${digest}.patch`).sort())
  const arriving = kept.filter(({ complete }) => !complete).map(({ digest }) => digest)
  expect(readdirSync(scratch.incoming).sort()).toEqual(arriving.sort())
  for (const { digest } of whole) await library.read(digest)
}

describe('a library whose process was killed', () => {
  it('agrees with its files at whatever moment that was, and goes on', { timeout: 60_000 }, async () => {
    for (let round = 0; round < 8; round += 1) {
      const child = spawn(process.execPath, [join(import.meta.dirname, 'work-forever.ts'), scratch.folder])
      await once(child.stdout, 'data')
      await new Promise((resolve) => setTimeout(resolve, 30 + round * 37))
      child.kill('SIGKILL')
      await once(child, 'exit')
      const library = await scratch.open()
      await expectAgreement(library)
      await library.close()
    }
  })

  it('drops a patch whose file is gone or cut short, and says so', async () => {
    const other = await makePatch({ title: 'Ships' })
    const library = await scratch.open()
    await library.add(pieces(patch.bytes), { where: 'mine' })
    await library.add(pieces(other.bytes), { where: 'mine' })
    await library.close()
    rmSync(wholePath(patch.digest))
    truncateSync(wholePath(other.digest), 100)
    const lost: Digest[] = []
    const again = await scratch.open({ onLost: (digest) => lost.push(digest) })
    expect(lost.sort()).toEqual([patch.digest, other.digest].sort())
    expect(await again.list()).toEqual([])
    await expectAgreement(again)
  })

  it('takes for whole what got its name and not yet its mark', async () => {
    const library = await scratch.open()
    await library.add(pieces(patch.bytes), { where: 'fetched' })
    await library.close()
    const database = new Database(scratch.file)
    database.exec('UPDATE patches SET complete = 0')
    database.close()
    expect(await (await scratch.open()).get(patch.digest)).toMatchObject({ complete: true, where: 'fetched' })
  })

  it('sweeps files that nobody knows of, and leaves what is not its own', async () => {
    await (await scratch.open()).close()
    writeFileSync(wholePath(missing), 'left over')
    writeFileSync(join(scratch.directory, 'notes.txt'), 'the owner’s')
    mkdirSync(join(scratch.incoming, missing))
    writeFileSync(join(scratch.incoming, missing, 'patch'), 'left over')
    writeFileSync(join(scratch.incoming, '999999999-0123456789abcdef.tmp'), 'left over')
    writeFileSync(join(scratch.incoming, `${process.pid}-0123456789abcdef.tmp`), 'being written')
    await scratch.open()
    expect(readdirSync(scratch.directory).sort()).toEqual(['incoming', 'notes.txt'])
    expect(readdirSync(scratch.incoming)).toEqual([`${process.pid}-0123456789abcdef.tmp`])
  })

  it('keeps of an arriving patch what is right, and no more', async () => {
    const library = await scratch.open()
    const incoming = await library.receive(patch.head)
    const [first = new Uint8Array(), second = new Uint8Array()] = patch.sections
    await incoming.append(first)
    await incoming.append(second.subarray(0, 40))
    await incoming.close()
    await library.close()
    // The disk lost what was written last, and has something else in its place.
    const path = join(scratch.incoming, patch.digest, 'patch')
    truncateSync(path, patch.head.length + 10)
    truncateSync(path, patch.head.length + first.length + 60)
    const again = await (await scratch.open()).receive(patch.head)
    expect(again.next()).toEqual({ section: 0, offset: 0 })
    for (let at = again.next(); at !== null; at = again.next()) {
      await again.append((patch.sections[at.section] ?? new Uint8Array()).subarray(at.offset))
    }
    expect(await again.finish()).toMatchObject({ complete: true })
  })

  it('lets another process fetch no patch that this one fetches, until it is gone', async () => {
    const incoming = await (await scratch.open()).receive(patch.head)
    const owner = join(scratch.incoming, patch.digest, 'owner')
    expect(existsSync(owner)).toBe(true)
    await incoming.close()
    expect(existsSync(owner)).toBe(false)
    writeFileSync(owner, String(process.ppid))
    const library = await scratch.open()
    await expect(library.receive(patch.head)).rejects.toMatchObject({ code: 'storage-failed' })
    writeFileSync(owner, '999999999')
    await (await library.receive(patch.head)).close()
  })
})

describe('the library’s database', () => {
  it.each([
    ['of a later version', (database: Database.Database) => database.pragma('user_version = 99'), /later version/],
    ['of another kind', (database: Database.Database) => database.pragma('application_id = 7'), /another kind/],
  ])('%s is refused and left as it is', async (_, change, words) => {
    await (await scratch.open()).close()
    const database = new Database(scratch.file)
    change(database)
    database.close()
    await expect(scratch.open()).rejects.toThrow(words)
  })

  it('that is damaged is refused', async () => {
    writeFileSync(scratch.file, 'no database at all, for certain')
    await expect(scratch.open()).rejects.toMatchObject({ code: 'storage-failed' })
  })

  it('has the tables and indices of its first version', async () => {
    await (await scratch.open()).close()
    const database = new Database(scratch.file)
    const names = database.prepare('SELECT name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name').pluck().all()
    expect(names.filter((name) => name !== 'sqlite_sequence' && !String(name).startsWith('sqlite_stat'))).toEqual([
      'follows',
      'patches',
      'patches_by_base',
      'patches_by_mask',
      'tags',
      'tags_by_digest',
    ])
    expect(database.pragma('user_version', { simple: true })).toBe(1)
    database.close()
  })
})
