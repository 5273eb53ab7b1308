import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type OpenRunStore, openRunStore } from '#adapters/runs/open-run-store.ts'
import { describeRunStore } from '#test/compliance/run-store.ts'
import { aStoredRun } from '#test/helpers/run-plans.ts'

let folder: string
let stores: OpenRunStore[]
const file = () => join(folder, 'runs.db')
const runFolder = (id: string) => join(folder, 'runs', id)
const newest = (id: string) => join(runFolder(id), readdirSync(runFolder(id)).sort(byNumber).at(-1) ?? '')
const byNumber = (a: string, b: string) => Number(a.split('-')[1]) - Number(b.split('-')[1])

function prepare(): void {
  folder = mkdtempSync(join(tmpdir(), 'quiltbee-run-store-'))
  stores = []
}
async function cleanUp(): Promise<void> {
  for (const store of stores) await store.close()
  rmSync(folder, { recursive: true, force: true })
}
function open(onDamage?: (error: unknown) => void): OpenRunStore {
  const init = { file: file(), directory: join(folder, 'runs') }
  const store = openRunStore(onDamage ? { ...init, onDamage } : init)
  stores.push(store)
  return store
}

describeRunStore('the store in SQLite and files', async () => {
  prepare()
  return {
    open: async () => open(),
    async damageNewestCheckpoint(id) {
      truncateSync(newest(id), 50)
    },
    dispose: cleanUp,
  }
})

describe('the store in SQLite and files', () => {
  beforeEach(prepare)
  afterEach(cleanUp)

  test('keeps two checkpoints of a run, and passes over whatever is wrong with the newest', async () => {
    const store = open()
    const { id } = aStoredRun()
    for (let step = 1; step <= 5; step++) await store.saveCheckpoint(id, step, new Uint8Array([step]))
    expect(readdirSync(runFolder(id)).sort(byNumber)).toEqual(['checkpoint-4', 'checkpoint-5'])
    const whole = readFileSync(newest(id))
    for (let at = 0; at < whole.length; at++) {
      const damaged = Buffer.from(whole)
      damaged[at] = (damaged[at] ?? 0) ^ 0x40
      writeFileSync(newest(id), damaged)
      expect(await store.loadCheckpoint(id), `byte ${at}`).toEqual({ step: 4, bytes: new Uint8Array([4]) })
    }
    writeFileSync(newest(id), Buffer.concat([whole, Buffer.from('!')]))
    expect(await store.loadCheckpoint(id)).toMatchObject({ step: 4 })
    writeFileSync(newest(id), whole)
    expect(await store.loadCheckpoint(id)).toEqual({ step: 5, bytes: new Uint8Array([5]) })
  })

  test('has the one before when a crash tore what was being written', async () => {
    const store = open()
    const { id } = aStoredRun()
    await store.saveCheckpoint(id, 1, new Uint8Array([1]))
    writeFileSync(join(runFolder(id), 'checkpoint-2.partial'), 'QbeeCk')
    expect(await store.loadCheckpoint(id)).toMatchObject({ step: 1 })
    await store.saveCheckpoint(id, 2, new Uint8Array([2]))
    expect(await store.loadCheckpoint(id)).toMatchObject({ step: 2 })
    expect(readdirSync(runFolder(id)).sort()).toEqual(['checkpoint-1', 'checkpoint-2'])
  })

  test('sweeps the folders of runs that are in no list, and nothing else', async () => {
    const store = open()
    const [listed, stray, coming] = [aStoredRun(), aStoredRun(), aStoredRun()]
    await store.create(listed)
    await store.directory(listed.id)
    await open().directory(stray.id)
    await store.directory(coming.id)
    mkdirSync(join(folder, 'runs', 'notes'))
    await store.sweep()
    expect(readdirSync(join(folder, 'runs')).sort()).toEqual([listed.id, coming.id, 'notes'].sort())
  })

  test('leaves a run that cannot be read out of the list, says so, and loses nothing', async () => {
    const damages: unknown[] = []
    const store = open((error) => damages.push(error))
    const [good, bad] = [aStoredRun(), aStoredRun()]
    await store.create(good)
    await store.create(bad)
    const database = new Database(file())
    database.prepare("UPDATE runs SET plan = '{}' WHERE id = ?").run(bad.id)
    expect(await store.list()).toEqual([good])
    expect(damages).toMatchObject([{ code: 'storage-failed' }])
    await expect(store.get(bad.id)).rejects.toMatchObject({ code: 'storage-failed' })
    expect(database.prepare('SELECT count(*) FROM runs').pluck().get()).toBe(2)
    database.close()
  })

  test.each(['../escape', '..', '', 'C:'])('makes no folder for an id like "%s"', async (id) => {
    const store = open()
    await expect(store.directory(id)).rejects.toMatchObject({ code: 'run-not-found' })
    await expect(store.saveCheckpoint(id, 1, new Uint8Array(1))).rejects.toMatchObject({ code: 'run-not-found' })
    await expect(store.clear(id)).rejects.toMatchObject({ code: 'run-not-found' })
  })

  test.each([
    ['a later version’s', (database: Database.Database) => database.pragma('user_version = 99')],
    ['another program’s', (database: Database.Database) => database.pragma('user_version = 1')],
  ])('refuses %s file and leaves it as it is', (_, make) => {
    const database = new Database(file())
    make(database)
    database.close()
    const before = readFileSync(file())
    expect(() => open()).toThrow(expect.objectContaining({ code: 'storage-failed' }))
    expect(readFileSync(file())).toEqual(before)
  })

  test('refuses a damaged file by name, and work after it was closed', async () => {
    writeFileSync(file(), Buffer.alloc(8_192, 7))
    expect(() => open()).toThrow(expect.objectContaining({ code: 'storage-failed' }))
    rmSync(file())
    const store = open()
    await store.close()
    await store.close()
    await expect(store.list()).rejects.toMatchObject({ code: 'storage-failed' })
  })
})
