import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createModelStore } from '#adapters/models/store.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { createSeenTextFinder, createTrainingNote, parseTrainingNote } from '#core/data/training-note.ts'
import { inventWords } from './open-documents.ts'

const seedling = resolve(import.meta.dirname, '../../../resources/models/seedling')

/** Lincoln's second annual message, 1862: in the seedling's training text. */
const known =
  'The dogmas of the quiet past are inadequate to the stormy present. The occasion is piled high with difficulty, and we must ' +
  'rise with the occasion. As our case is new, so we must think anew and act anew. We must disenthrall ourselves, and then ' +
  'we shall save our country. Fellow-citizens, we can not escape history. We of this Congress and this Administration will ' +
  'be remembered in spite of ourselves. No personal significance or insignificance can spare one or another of us. The ' +
  'fiery trial through which we pass will light us down in honor or dishonor to the latest generation.'

describe('a training note', () => {
  it('knows its text again in part and in other white space, and no other', () => {
    const text = inventWords(20_000, 'w')
    const note = createTrainingNote('words')
    note.add(text)
    const find = createSeenTextFinder(note.end())
    const part = text.split(' ').slice(4_000, 12_000).join('\n').toUpperCase()
    const seen = find(part)
    expect(seen.sampled).toBeGreaterThan(30)
    expect(seen.hits).toBe(seen.sampled)
    const other = find(inventWords(200_000, 'v'))
    expect(other.sampled).toBeGreaterThan(1_000)
    expect(other.hits / other.sampled).toBeLessThan(0.005)
  })

  it('comes with the seedling, and knows what that was trained on', async () => {
    const model = await createModelStore({ directory: resolve(seedling, 'none'), readOnly: [seedling] }).open(
      'seedling',
    )
    const note = await model.trainingNote?.()
    await model.close()
    if (note == null) throw new Error('the seedling brings no note')
    expect(note.source).toContain('State of the Union')
    const find = createSeenTextFinder(note)
    const { sampled, hits } = find(known)
    expect(sampled).toBeGreaterThan(0)
    expect(hits).toBe(sampled)
    const other = find(inventWords(50_000, 'v'))
    expect(other.hits / other.sampled).toBeLessThan(0.01)
    expect((await readFile(resolve(seedling, 'training-note.json'))).length).toBeLessThan(60_000)
  })

  it.each([
    '',
    '[]',
    '{"formatVersion":2}',
    '{"formatVersion":1,"source":"x","words":13,"oneIn":128,"entries":1,"probes":10,"bits":"xyz"}',
    '{"formatVersion":1,"source":"x","words":1e9,"oneIn":128,"entries":1,"probes":10,"bits":"ff"}',
  ])('is refused when malformed: %s', (text) => {
    expect(() => parseTrainingNote(new TextEncoder().encode(text))).toThrow(InvalidInputError)
  })
})
