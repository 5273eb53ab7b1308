/** The run store of a profile: a SQLite file for what is known of runs, and a folder for each one's checkpoints and data. */
import { mkdirSync } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type Database from 'better-sqlite3'
import type { CurvePoint } from '#contracts/api/training.ts'
import { RunNotFoundError, StorageError } from '#core/errors.ts'
import type { RunStore, StoredRun } from '#core/ports/run-store.ts'
import { namingStorage } from '#core/storage-errors.ts'
import { naming } from '../shared/kept-database.ts'
import { createCheckpointFiles } from './checkpoint-files.ts'
import { fromPointRow, fromRow, type PointRow, type RunRow, toPointRow, toRow } from './run-rows.ts'
import { mustChange, openRunsDatabase } from './runs-database.ts'

export interface OpenRunStore extends RunStore {
  /**
   * Removes the folders of runs that are in no list: a crash came between making the folder and listing the run, or between
   * taking the run off the list and removing the folder. Only for the one process that carries runs out.
   */
  sweep(): Promise<void>
  /** Idempotent. */
  close(): Promise<void>
}

export interface RunStoreInit {
  /** The database. */
  readonly file: string
  /** Made when it is missing; holds one folder a run, and nothing else. */
  readonly directory: string
  /** Told of runs that cannot be read and are left out of the list; they stay where they are. */
  readonly onDamage?: (error: unknown) => void
}

/** Throws `StorageError`. Several processes may have one store open; one of them at a time carries runs out. */
export function openRunStore({ file, directory, onDamage }: RunStoreInit): OpenRunStore {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const database = openRunsDatabase(file)
  const statements = naming(file, () => prepare(database))
  /** By this process: theirs is the time until their run is listed. */
  const made = new Set<string>()
  const folderOf = (id: string) => join(directory, checkedId(id))

  async function use<T>(work: () => T): Promise<T> {
    if (!database.open) throw new StorageError(file, 'the list of runs is closed')
    return naming(file, work)
  }

  const addPoints = database.transaction((id: string, points: readonly CurvePoint[]) => {
    if (statements.has.get(id) === undefined) throw new RunNotFoundError(id)
    for (const point of points) statements.addPoint.run({ run: id, ...toPointRow(point) })
  })

  const update = database.transaction((id: string, change: Partial<Omit<StoredRun, 'id' | 'plan'>>) => {
    const row = statements.get.get(id)
    if (row === undefined) throw new RunNotFoundError(id)
    statements.update.run(toRow({ ...fromRow(row), ...change }))
  })

  function find(name: string): RunRow {
    const [only, ...others] = /^[0-9a-f-]{8,36}$/.test(name) ? statements.find.all(`${name}%`) : []
    if (only === undefined || others.length > 0) throw new RunNotFoundError(name)
    return only
  }

  async function clear(id: string): Promise<void> {
    const folder = folderOf(id)
    await namingStorage(folder, () => rm(folder, { recursive: true, force: true }))
  }

  return {
    create: (run) => use(() => void statements.insert.run(toRow({ ...run, id: checkedId(run.id) }))),
    list: () => use(() => statements.list.all().flatMap((row) => readable(row, onDamage))),
    get: (id) => use(() => fromRow(find(id))),
    update: (id, change) => use(() => update.immediate(id, change)),
    addPoints: (id, points) => use(() => addPoints.immediate(id, points)),
    points: (id) => use(() => statements.points.all(id).map(fromPointRow)),
    dropPointsAfter: (id, step) => use(() => void statements.dropPoints.run(id, step)),
    saveCheckpoint: async (id, step, bytes) => createCheckpointFiles(folderOf(id)).save(step, bytes),
    loadCheckpoint: async (id) => createCheckpointFiles(folderOf(id)).load(),
    async directory(id) {
      const folder = folderOf(id)
      made.add(id)
      await namingStorage(folder, () => mkdir(folder, { recursive: true, mode: 0o700 }))
      return folder
    },
    clear,
    async remove(id) {
      await use(() => mustChange(id, statements.remove.run(id)))
      await clear(id)
    },
    async sweep() {
      const known = new Set(statements.ids.all())
      const names = await namingStorage(directory, () => readdir(directory))
      for (const name of names) if (idForm.test(name) && !known.has(name) && !made.has(name)) await clear(name)
    },
    async close() {
      database.close()
    },
  }
}

function prepare(database: Database.Database) {
  return {
    insert: database.prepare<[RunRow]>(
      `INSERT INTO runs (id, plan, state, progress, probes, result, seconds)
       VALUES (@id, @plan, @state, @progress, @probes, @result, @seconds)`,
    ),
    get: database.prepare<[string], RunRow>(`SELECT ${columns} FROM runs WHERE id = ?`),
    find: database.prepare<[string], RunRow>(`SELECT ${columns} FROM runs WHERE id LIKE ? LIMIT 2`),
    has: database.prepare<[string], number>('SELECT 1 FROM runs WHERE id = ?').pluck(),
    ids: database.prepare<[], string>('SELECT id FROM runs').pluck(),
    list: database.prepare<[], RunRow>(`SELECT ${columns} FROM runs ORDER BY number DESC`),
    update: database.prepare<[RunRow]>(
      `UPDATE runs SET state = @state, progress = @progress, probes = @probes, result = @result, seconds = @seconds
       WHERE id = @id`,
    ),
    remove: database.prepare<[string]>('DELETE FROM runs WHERE id = ?'),
    addPoint: database.prepare<[PointRow & { readonly run: string }]>(
      `INSERT OR REPLACE INTO points (run, step, train, held_out, learning_rate)
       VALUES (@run, @step, @train, @held_out, @learning_rate)`,
    ),
    points: database.prepare<[string], PointRow>(
      'SELECT step, train, held_out, learning_rate FROM points WHERE run = ? ORDER BY step',
    ),
    dropPoints: database.prepare<[string, number]>('DELETE FROM points WHERE run = ? AND step > ?'),
  }
}

const columns = 'id, plan, state, progress, probes, result, seconds'

/** A UUID as `randomUUID` writes it: also what a run's folder is called, so nothing else may come through. */
const idForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Throws `RunNotFoundError` for what cannot be a run's id. */
function checkedId(id: string): string {
  if (!idForm.test(id)) throw new RunNotFoundError(id)
  return id
}

function readable(row: RunRow, onDamage: RunStoreInit['onDamage']): StoredRun[] {
  try {
    return [fromRow(row)]
  } catch (error) {
    onDamage?.(error)
    return []
  }
}
