import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LedgerNewerError } from '#adapters/sqlite/ledger-errors.ts'
import { applicationId, backupPath, migrate } from '#adapters/sqlite/migrate.ts'
import { inOrder, type Migration, migrations } from '#adapters/sqlite/migrations/index.ts'

const addColour: Migration = {
  number: 20,
  up: (database) => database.exec("ALTER TABLE ledger ADD COLUMN colour TEXT NOT NULL DEFAULT 'yellow'"),
}
const failing: Migration = {
  number: 20,
  up(database) {
    addColour.up(database)
    throw new Error('power cut')
  },
}

let folder: string
let file: string
let database: Database.Database

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quiltbee-migrate-'))
  file = join(folder, 'ledger.db')
  database = new Database(file)
})

afterEach(() => {
  database.close()
  rmSync(folder, { recursive: true })
})

const version = (of = database) => of.pragma('user_version', { simple: true })

function atSchema10(): void {
  migrate(database, file, migrations.slice(0, 1))
  database.exec("INSERT INTO ledger VALUES (1, 'somebody')")
}

describe('migrating', () => {
  it('makes an empty file a ledger without a backup', () => {
    migrate(database, file)
    expect(version()).toBe(migrations.at(-1)?.number)
    expect(database.pragma('application_id', { simple: true })).toBe(applicationId)
    expect(existsSync(backupPath(file, 0))).toBe(false)
  })

  it('does nothing to a file that is up to date', () => {
    migrate(database, file)
    const schema = database.prepare('SELECT sql FROM sqlite_schema').pluck().all()
    migrate(database, file)
    expect(database.prepare('SELECT sql FROM sqlite_schema').pluck().all()).toEqual(schema)
    expect(existsSync(backupPath(file, 10))).toBe(false)
  })

  it('keeps a readable copy of what was there before', () => {
    atSchema10()
    migrate(database, file, [...migrations.slice(0, 1), addColour])
    expect(database.prepare('SELECT * FROM ledger').get()).toMatchObject({ peer_id: 'somebody', colour: 'yellow' })
    const backup = new Database(backupPath(file, 10), { readonly: true })
    expect(version(backup)).toBe(10)
    expect(backup.prepare('SELECT * FROM ledger').get()).toEqual({ only_row: 1, peer_id: 'somebody' })
    backup.close()
  })

  it('leaves a file as it was when a step fails, and can go on later', () => {
    atSchema10()
    expect(() => migrate(database, file, [...migrations.slice(0, 1), failing])).toThrow('power cut')
    expect(version()).toBe(10)
    expect(database.prepare('SELECT * FROM ledger').get()).toEqual({ only_row: 1, peer_id: 'somebody' })
    migrate(database, file, [...migrations.slice(0, 1), addColour])
    expect(version()).toBe(20)
  })

  it('refuses a file from a later app, and leaves it as it is', () => {
    migrate(database, file)
    database.pragma('user_version = 990')
    const bytes = readFileSync(file)
    expect(() => migrate(database, file)).toThrow(LedgerNewerError)
    expect(() => migrate(database, file)).toThrow(expect.objectContaining({ code: 'ledger-newer' }) as Error)
    expect(readFileSync(file)).toEqual(bytes)
  })

  it('refuses a version that never was', () => {
    migrate(database, file)
    database.pragma('user_version = 7')
    expect(() => migrate(database, file)).toThrow(/another kind/)
  })

  it('has steps numbered by tens', () => {
    expect(inOrder(migrations)).toBe(migrations)
    expect(() => inOrder([...migrations, { ...addColour, number: 15 }])).toThrow('migration 15')
  })
})
