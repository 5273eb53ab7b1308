import { readdir, readFile, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { safeFileName } from '#adapters/datasets/file-name.ts'
import { createUploads } from '#adapters/datasets/uploads.ts'
import { maximumChunkBytes, maximumUploadBytes } from '#contracts/api/training.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { QuotaExceededError } from '#core/errors.ts'
import { useTemporaryFiles } from './temporary-files.ts'

const files = useTemporaryFiles()
const utf8 = (text: string) => new TextEncoder().encode(text)
const begin = (name: string, content = '') => files.source().upload({ id: null, name, offset: 0, bytes: utf8(content) })
const uploads = () => join(files.directory(), 'uploads')

describe('uploads', () => {
  it('come in pieces, and are read like any file', async () => {
    const first = await begin('notes.txt', 'one ')
    expect(first).toEqual({ id: first.id, name: 'notes.txt', byteLength: 4 })
    const last = await files.source().upload({ id: first.id, name: 'notes.txt', offset: 4, bytes: utf8('two') })
    expect(last).toEqual({ id: first.id, name: 'notes.txt', byteLength: 7 })
    const { documents } = await files.read({ kind: 'upload', id: first.id })
    expect(documents).toEqual([{ where: 'notes.txt:1', file: 0, body: { kind: 'text', text: 'one two' } }])
  })

  it('are for their owner alone', async () => {
    const { id } = await begin('notes.txt', 'x')
    if (process.platform === 'win32') return
    expect((await stat(join(uploads(), id))).mode & 0o777).toBe(0o700)
    expect((await stat(join(uploads(), id, 'notes.txt'))).mode & 0o777).toBe(0o600)
  })

  it('refuse a piece that is not the next one, and say which is', async () => {
    const { id } = await begin('notes.txt', 'one')
    const add = (offset: number) => files.source().upload({ id, name: 'notes.txt', offset, bytes: utf8('two') })
    await expect(add(0)).rejects.toThrow(/offset: 3 expected/)
    await expect(add(4)).rejects.toBeInstanceOf(InvalidInputError)
    expect(await add(3)).toMatchObject({ byteLength: 6 })
    await expect(add(3)).rejects.toThrow(/6 expected/)
    const late = { id: null, name: 'notes.txt', offset: 5, bytes: utf8('x') }
    await expect(files.source().upload(late)).rejects.toThrow(/0 expected/)
    expect(await readFile(join(uploads(), id, 'notes.txt'), 'utf8')).toBe('onetwo')
  })

  it('take one piece of two that come at once', async () => {
    const { id } = await begin('notes.txt')
    const add = () => files.source().upload({ id, name: 'notes.txt', offset: 0, bytes: utf8('abc') })
    const both = await Promise.allSettled([add(), add()])
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  })

  it('are bounded: a piece, a file, and all together', async () => {
    const { id } = await begin('notes.txt')
    const upload = (offset: number, bytes: Uint8Array) => files.source().upload({ id, name: 'x', offset, bytes })
    await expect(upload(0, new Uint8Array(maximumChunkBytes + 1))).rejects.toBeInstanceOf(InvalidInputError)
    const file = join(uploads(), id, 'notes.txt')
    await (await import('node:fs/promises')).truncate(file, maximumUploadBytes - 2)
    await expect(upload(maximumUploadBytes - 2, utf8('abc'))).rejects.toBeInstanceOf(QuotaExceededError)
    await (await import('node:fs/promises')).truncate(file, 4 * maximumUploadBytes)
    await expect(begin('more.txt', 'x')).rejects.toBeInstanceOf(QuotaExceededError)
  })

  it('that nobody has touched for a day are removed when another begins', async () => {
    const [old, recent] = [await begin('old.txt', 'x'), await begin('recent.txt', 'x')]
    const yesterday = new Date(Date.now() - 25 * 60 * 60 * 1000)
    for (const path of [join(uploads(), old.id, 'old.txt'), join(uploads(), old.id)])
      await utimes(path, yesterday, yesterday)
    const { id } = await begin('new.txt')
    expect((await readdir(uploads())).sort()).toEqual([recent.id, id].sort())
    await expect(files.read({ kind: 'upload', id: old.id })).rejects.toThrow(/no such upload/)
  })

  it('go by a clock that may be given', async () => {
    const later = createUploads({ directory: uploads(), nowMs: () => Date.now() + 48 * 60 * 60 * 1000 })
    const { id } = await begin('notes.txt')
    await later.add({ id: null, name: 'x.txt', offset: 0, bytes: new Uint8Array() })
    expect(await readdir(uploads())).not.toContain(id)
  })

  it('stay in their folder whatever they are called', async () => {
    for (const name of [
      '../../escape.txt',
      '/etc/passwd',
      'a\\b.txt',
      '..',
      'CON.txt',
      'x'.repeat(255),
      'a\u0000b.txt',
    ]) {
      const { id, name: kept } = await begin(name, 'words')
      expect(await readdir(join(uploads(), id))).toEqual([kept])
    }
    expect((await readdir(files.directory())).sort()).toEqual(['uploads'])
  })

  it('are found by ids that are ids only', async () => {
    await begin('notes.txt')
    for (const id of ['..', '../uploads', '', '0b8a3c52-3f4e-4e4e-9d2b-7a3f2c1d0e9f']) {
      await expect(files.source().open([{ kind: 'upload', id }])).rejects.toBeInstanceOf(InvalidInputError)
    }
  })
})

describe('file names', () => {
  it.each([
    ['notes.txt', 'notes.txt'],
    ['Grüße 1.md', 'Grüße 1.md'],
    ['../up.txt', '_up.txt'],
    ['a/b:c?.csv', 'a_b_c_.csv'],
    ['  . ', 'data'],
    ['aux.jsonl', '_aux.jsonl'],
  ])('%j becomes %j', (given, safe) => {
    expect(safeFileName(given)).toBe(safe)
  })

  it('are shortened before their extension', () => {
    expect(safeFileName(`${'ü'.repeat(200)}.jsonl`)).toBe(`${'ü'.repeat(57)}.jsonl`)
  })
})
