import { execFileSync } from 'node:child_process'
import { mkdir, readFile, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { InvalidInputError } from '#contracts/errors.ts'
import { DataFormatError, StorageError } from '#core/errors.ts'
import { useTemporaryFiles } from './temporary-files.ts'

const files = useTemporaryFiles()
const utf8 = (text: string) => new TextEncoder().encode(text)
const text = (body: string) => ({ kind: 'text', text: body })

describe('reading training data', () => {
  it('reads files in their order, and says where each document is', async () => {
    const notes = await files.write('notes.txt', 'one\n')
    const records = await files.write('more.jsonl', '{"text":"two"}\n\n{"text":"three"}')
    const data = await files.source().open([notes, records])
    expect(data.files).toEqual([
      { name: 'notes.txt', format: 'text', bytes: 4 },
      { name: 'more.jsonl', format: 'jsonl', bytes: 32 },
    ])
    expect((await files.read(notes, records)).documents).toEqual([
      { where: 'notes.txt:1', file: 0, body: text('one\n') },
      { where: 'more.jsonl:1', file: 1, body: text('two') },
      { where: 'more.jsonl:3', file: 1, body: text('three') },
    ])
  })

  it('tells how far it is, and stops when told to', async () => {
    const file = await files.write('long.txt', 'word\n'.repeat(300_000))
    const seen: { bytesDone: number; bytesTotal: number }[] = []
    const stop = new AbortController()
    const data = await files
      .source()
      .open([file], { signal: stop.signal, onProgress: (progress) => seen.push(progress) })
    const reading = (async () => {
      for await (const _ of data.documents()) stop.abort()
    })()
    await expect(reading).rejects.toThrow(/abort/i)
    expect(seen[0]).toEqual({ bytesDone: 262_144, bytesTotal: 1_500_000 })
    expect(seen.length).toBeLessThan(4)
  })

  it('cuts a long text into pieces at its paragraphs and loses nothing', async () => {
    const paragraph = `${'All work and no play. '.repeat(40)}\n\n`
    const whole = paragraph.repeat(700)
    const { documents } = await files.read(await files.write('long.txt', whole))
    const pieces = documents.map(({ body }) => (body.kind === 'text' ? body.text : ''))
    expect(pieces.length).toBeGreaterThan(2)
    expect(pieces.join('')).toBe(whole)
    expect(pieces.slice(0, -1).every((piece) => piece.endsWith('\n\n'))).toBe(true)
    expect(documents[1]?.where).toBe(`long.txt:${(pieces[0] as string).split('\n').length}`)
  })

  it('keeps Markdown as it is, but for front matter', async () => {
    const body = '# A title\n\nSome *text*.\n'
    expect(await files.bodies('a.md', `---\ntitle: x\n---\n${body}`)).toEqual([text(body)])
    expect(await files.bodies('b.md', `+++\r\ntitle = 1\r\n+++\r\n${body}`)).toEqual([text(body)])
    expect(await files.bodies('c.md', `${body}---\nmore\n`)).toEqual([text(`${body}---\nmore\n`)])
    expect(await files.bodies('d.md', `---\nnever closed\n`)).toEqual([text('---\nnever closed\n')])
  })

  it('cuts long Markdown at its top headings, not inside code', async () => {
    const long = 'word '.repeat(9_000)
    const chapters = [`# One\n${long}\n## not here\n`, `# Two\n\`\`\`sh\n# a comment\n\`\`\`\n${long}\n`]
    const { documents } = await files.read(await files.write('book.md', chapters.join('')))
    expect(documents.map(({ body }) => body)).toEqual(chapters.map(text))
    expect(documents.map(({ where }) => where)).toEqual(['book.md:1', 'book.md:4'])
    expect(await files.bodies('short.md', '# One\na\n# Two\nb\n')).toHaveLength(1)
  })

  it('drops byte order marks, reads UTF-16 that has one, and makes line ends plain', async () => {
    expect(await files.bodies('a.txt', utf8('\ufeffgrün\r\nblau\r'))).toEqual([text('grün\nblau\n')])
    const little = Buffer.from('\ufeffgrün 🌻', 'utf16le')
    expect(await files.bodies('b.txt', little)).toEqual([text('grün 🌻')])
    expect(await files.bodies('c.txt', Buffer.from(little).swap16())).toEqual([text('grün 🌻')])
    expect(await files.bodies('d.jsonl', utf8('\ufeff{"text":"x"}\r\n'))).toEqual([text('x')])
    expect(await files.bodies('e.csv', utf8('\ufefftext\r\nx\r\n'))).toEqual([text('x')])
  })

  it('counts bytes that are no UTF-8 and goes on', async () => {
    const file = await files.write('latin.txt', Buffer.from('fine \ufffd\nM\xfcller\nStra\xdfe\n', 'latin1'))
    const genuine = await files.write('genuine.txt', 'a \ufffd b\n')
    const mixed = await files.write('mixed.txt', Buffer.concat([utf8('\ufffd ok\n'), Buffer.from([0x41, 0xff, 0x0a])]))
    expect((await files.read(file)).warnings).toEqual([{ kind: 'not-utf8', count: 3, where: 'latin.txt:1' }])
    expect((await files.read(genuine)).warnings).toEqual([])
    expect((await files.read(mixed)).warnings).toEqual([{ kind: 'not-utf8', count: 1, where: 'mixed.txt:2' }])
  })

  it('does not split a character that two reads share', async () => {
    const whole = `${'a'.repeat(262_143)}🌻${'b'.repeat(10)}`
    const { documents, warnings } = await files.read(await files.write('edge.txt', whole))
    expect(documents.map(({ body }) => (body.kind === 'text' ? body.text : '')).join('')).toBe(whole)
    expect(warnings).toEqual([])
  })

  it.each([
    ['book.pdf', utf8('%PDF-1.7 …'), /book.pdf: is a PDF: save its text/],
    ['book.docx', Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0), /zip archive or an office document/],
    ['book.txt.gz', Uint8Array.of(0x1f, 0x8b, 8, 0), /gzip/],
    ['picture.txt', Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 1), /picture.txt: is not text/],
    ['wide.txt', Buffer.from('no mark here', 'utf16le'), /UTF-16 without a byte order mark/],
    ['late.txt', Buffer.concat([Buffer.alloc(70_000, 'a'), Buffer.from([0])]), /late.txt: is not text/],
    ['empty.txt', '', /empty.txt: is empty/],
    ['blank.txt', ' \n\n', /nothing but white space/],
    ['list.json', '[{"text":"x"}]', /one JSON array.*JSONL/],
    ['object.json', '{\n"text": "x"\n}', /one record a line/],
    ['none.jsonl', '{"a":1}\n{"b":2}\n', /none.jsonl: no record has text; prompt and completion/],
    ['none.csv', 'name,age\nAda,36\n', /none.csv:1: no columns are called .*there are: name, age/],
    ['open.csv', 'text\n"never closed\nmore\n', /open.csv:2: a quote is opened and never closed/],
  ])('refuses %s by name', async (name, content, message) => {
    const reading = files.write(name, content).then((file) => files.read(file))
    await expect(reading).rejects.toThrow(message)
    await expect(reading).rejects.toBeInstanceOf(DataFormatError)
  })

  it('refuses what is not a regular file, without waiting for it', async () => {
    await mkdir(join(files.directory(), 'folder'))
    const open = (path: string) => files.source().open([{ kind: 'path', path }])
    await expect(open(join(files.directory(), 'folder'))).rejects.toThrow(/is a folder/)
    await expect(open('notes.txt')).rejects.toBeInstanceOf(InvalidInputError)
    await expect(open(join(files.directory(), 'gone.txt'))).rejects.toBeInstanceOf(StorageError)
    if (process.platform === 'win32') return
    execFileSync('mkfifo', [join(files.directory(), 'pipe.txt')])
    await expect(open(join(files.directory(), 'pipe.txt'))).rejects.toThrow(/not a file/)
    await expect(open('/dev/zero')).rejects.toThrow(/not a file/)
    await files.write('real.txt', 'words')
    await symlink('real.txt', join(files.directory(), 'link.txt'))
    await symlink('circle.txt', join(files.directory(), 'circle.txt'))
    expect((await open(join(files.directory(), 'link.txt'))).files[0]).toMatchObject({ name: 'link.txt', bytes: 5 })
    await expect(open(join(files.directory(), 'circle.txt'))).rejects.toThrow(/circle/)
  })

  it('leaves out lines that are no records, or too long to hold, and counts them', async () => {
    const long = JSON.stringify({ text: 'x'.repeat(8 * 1024 * 1024) })
    const lines = ['{"text":"a"}', 'nonsense', long, '{"text":""}', '42', '{"text":"b"}', '{"text":']
    const { documents, warnings } = await files.read(await files.write('some.jsonl', lines.join('\n')))
    expect(documents.map(({ body, where }) => [where, body])).toEqual([
      ['some.jsonl:1', text('a')],
      ['some.jsonl:6', text('b')],
    ])
    expect(warnings).toEqual([{ kind: 'records-skipped', count: 5, where: 'some.jsonl:2' }])
  })

  it('reads tables: quotes, separators, rows of another length', async () => {
    const csv = 'Prompt,Completion\n"a, b","c\n""d"""\nshort\ne,f "g" h\n'
    const { documents, warnings } = await files.read(await files.write('a.csv', csv))
    expect(documents.map(({ body, where }) => [where, body])).toEqual([
      ['a.csv:2', { kind: 'completion', prompt: 'a, b', completion: 'c\n"d"' }],
      ['a.csv:5', { kind: 'completion', prompt: 'e', completion: 'f "g" h' }],
    ])
    expect(warnings).toEqual([{ kind: 'records-skipped', count: 1, where: 'a.csv:4' }])
    const expected = [{ kind: 'completion', prompt: 'x', completion: 'y' }]
    expect(await files.bodies('b.csv', 'prompt;completion\nx;y\n')).toEqual(expected)
    expect(await files.bodies('c.tsv', 'prompt\tcompletion\nx\ty\n')).toEqual(expected)
    expect(await files.bodies('d.csv', 'prompt|completion\r\nx|y\r\n')).toEqual(expected)
    expect(await files.bodies('e.csv', 'question,choice_a,choice_b,answer\nWhich?,this,that,B\n')).toEqual([
      { kind: 'choice', question: 'Which?', choices: ['this', 'that'], answer: 1 },
    ])
  })

  it('tells the format of a file without an extension by what is in it', async () => {
    expect(await files.bodies('records', '{"text":"x"}\n')).toEqual([text('x')])
    expect(await files.bodies('notes', 'plain words')).toEqual([text('plain words')])
    expect(await files.bodies('data.json', '{"text":"x"}\n{"text":"y"}\n')).toEqual([text('x'), text('y')])
  })

  it('keeps copies that outlive the originals, under their own names', async () => {
    const notes = await files.write('notes.txt', 'words')
    const same = await files.write('other.txt', 'others')
    const upload = await files.source().upload({ id: null, name: 'up.txt', offset: 0, bytes: utf8('sent') })
    const run = join(files.directory(), 'run', 'data')
    const kept = await files.source().keep([notes, same, { kind: 'upload', id: upload.id }], run)
    const again = await files.source().keep([notes, same, { kind: 'upload', id: upload.id }], run)
    expect(again).toEqual(kept)
    await files.write('notes.txt', 'changed')
    const { documents } = await files.read(...kept)
    expect(documents.map(({ where, body }) => [where, body])).toEqual([
      ['notes.txt:1', text('words')],
      ['other.txt:1', text('others')],
      ['up.txt:1', text('sent')],
    ])
    const path = kept[0]?.kind === 'path' ? kept[0].path : ''
    expect(await readFile(path, 'utf8')).toBe('words')
    if (process.platform !== 'win32') expect((await stat(path)).mode & 0o777).toBe(0o600)
  })
})
