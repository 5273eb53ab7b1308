import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dataPreviewSchema } from '#contracts/api/training.ts'
import { prepareData } from '#core/data/prepare-data.ts'
import type { PrepareInit } from '#core/data/prepared-data.ts'
import { createTrainingNote } from '#core/data/training-note.ts'
import { DataFormatError } from '#core/errors.ts'
import type { DocumentBody } from '#core/ports/data-source.ts'
import { createWordTokenizer } from '#test/helpers/word-tokenizer.ts'
import { inventWords, openDocuments } from './open-documents.ts'

const question = (n: number): DocumentBody => ({
  kind: 'choice',
  question: `What is ${n}?`,
  choices: [`one${n}`, `two words${n}`],
  answer: n % 2,
})

function prepare(bodies: readonly (DocumentBody | string)[], init: Partial<PrepareInit> = {}) {
  return prepareData(openDocuments(bodies), { tokenizer: createWordTokenizer(), sequenceLength: 8, ...init })
}

const kinds = ({ preview }: Awaited<ReturnType<typeof prepare>>) => preview.warnings.map(({ kind }) => kind)

describe('preparing data', () => {
  it('gives the same examples whatever the order of the documents', async () => {
    const documents = Array.from({ length: 40 }, (_, n) => inventWords(3 + (n % 20), `w${n}.`))
    const tokenizer = createWordTokenizer()
    const forward = await prepare(documents, { tokenizer })
    const backward = await prepare([...documents].reverse(), { tokenizer })
    expect(backward.examples).toEqual(forward.examples)
    expect(backward.card).toEqual(forward.card)
    expect(forward.card.heldOutExamples).toBeGreaterThan(0)
  })

  it('leaves a document on its side when others come', async () => {
    const documents = Array.from({ length: 60 }, (_, n) => inventWords(4, `w${n}.`))
    const tokenizer = createWordTokenizer()
    const held = async (count: number) => {
      const { examples } = await prepare(documents.slice(0, count), { tokenizer })
      return examples.objective === 'language-model' ? examples.heldOut.map(({ tokens }) => tokens.join()) : []
    }
    const [few, many] = [await held(40), await held(60)]
    expect(few.length).toBeGreaterThan(1)
    expect(many).toEqual(expect.arrayContaining(few))
  })

  it('drops a document that differs from another in white space alone, once and for good', async () => {
    const one = inventWords(5, 'w')
    const prepared = await prepare([one, ` ${one.replaceAll(' ', '\n\t')}\n`, inventWords(5, 'v'), one])
    expect(prepared.card).toMatchObject({ documents: 2, duplicatesDropped: 2 })
    expect(prepared.preview.warnings).toContainEqual({ kind: 'many-duplicates', count: 2, where: 'notes.txt:2' })
    const again = await prepare([one, inventWords(5, 'v')])
    expect(again.card.digest).toBe(prepared.card.digest)
    expect(again.card.duplicatesDropped).toBe(0)
  })

  it('has every word of every document as a target once, on one side', async () => {
    const document = fc.integer({ min: 1, max: 400 })
    await fc.assert(
      fc.asyncProperty(fc.array(document, { minLength: 1, maxLength: 12 }), async (lengths) => {
        const tokenizer = createWordTokenizer({ beginToken: 0 })
        const texts = lengths.map((length, n) => inventWords(length, `w${n}.`))
        const { examples, card } = await prepare(texts, { tokenizer })
        if (examples.objective !== 'language-model') throw new Error('not of text')
        const targets = [...examples.train, ...examples.heldOut].flatMap(({ tokens }) => tokens.slice(1))
        const words = texts.flatMap((text) => tokenizer.encode(text))
        expect(targets.sort((a, b) => a - b)).toEqual(words.sort((a, b) => a - b))
        expect(card.trainingExamples).toBe(examples.train.length)
        expect(examples.train.length).toBeGreaterThan(0)
      }),
      { numRuns: 60 },
    )
  })

  it('sets about a tenth aside, of one long text too', async () => {
    const book = await prepare([inventWords(7 * 2_000, 'w')])
    const share = book.card.heldOutExamples / (book.card.trainingExamples + book.card.heldOutExamples)
    expect(share).toBeGreaterThan(0.06)
    expect(share).toBeLessThan(0.15)
    expect(kinds(book)).toEqual(['cut-to-context'])
    const short = await prepare([inventWords(7 * 10, 'w')])
    expect(short.card).toMatchObject({ trainingExamples: 8, heldOutExamples: 2 })
  })

  it('takes the long and the short of a split when there are two documents', async () => {
    const two = await prepare([inventWords(5, 'w'), inventWords(5, 'v')])
    expect(two.card).toMatchObject({ trainingExamples: 1, heldOutExamples: 1 })
  })

  it('warns when there is little, and when nothing can be set aside', async () => {
    const { preview } = await prepare([inventWords(5, 'w')])
    expect(preview.warnings).toEqual([
      { kind: 'too-little', count: 1, where: null },
      { kind: 'nothing-held-out', count: 1, where: null },
    ])
    const enough = await prepare(Array.from({ length: 400 }, (_, n) => inventWords(7, `w${n}.`)))
    expect(kinds(enough)).toEqual([])
  })

  it('keeps questions with choices as such, and as text beside other documents', async () => {
    const questions = Array.from({ length: 30 }, (_, n) => question(n))
    const asked = await prepare(questions)
    if (asked.examples.objective !== 'multiple-choice') throw new Error('not asked')
    expect(asked.card.trainingExamples + asked.card.heldOutExamples).toBe(30)
    const [first] = asked.examples.train
    expect(first?.choices).toHaveLength(2)
    expect([...(first?.choices[0]?.targetWeights ?? [])]).toEqual([0, 0, 1])
    const mixed = await prepare([...questions, inventWords(5, 'w')])
    expect(mixed.objective).toBe('language-model')
    const asText = await prepare([...questions, inventWords(5, 'w')], { objective: 'multiple-choice' })
    expect(asText.preview.warnings).toContainEqual({ kind: 'records-skipped', count: 1, where: 'notes.txt:31' })
  })

  it('shows what the model will see', async () => {
    const { preview } = await prepare([...Array.from({ length: 30 }, (_, n) => question(n))])
    expect(dataPreviewSchema.parse(preview)).toEqual(preview)
    expect(preview.samples[0]).toMatchObject({ where: 'notes.txt:1', text: 'What is 0? one0\n two words0' })
    expect(preview.samples.filter(({ heldOut }) => heldOut).length).toBeGreaterThan(0)
  })

  it('passes on what the reading found', async () => {
    const data = openDocuments(['a b c', 'd e f'], { warnings: [{ kind: 'not-utf8', count: 3, where: 'notes.txt:2' }] })
    const { card, preview } = await prepareData(data, { tokenizer: createWordTokenizer(), sequenceLength: 8 })
    expect(preview.warnings).toContainEqual({ kind: 'not-utf8', count: 3, where: 'notes.txt:2' })
    expect(card.warnings).toContain('not-utf8')
  })

  it('tells text that the base was trained on from text that it was not', async () => {
    const known = Array.from({ length: 20 }, (_, n) => inventWords(600, `known${n}.`))
    const note = createTrainingNote('twenty texts')
    for (const text of known) note.add(text)
    const init = { note: note.end() }
    const seen = await prepare([...known.slice(3, 6), inventWords(600, 'fresh')], init)
    expect(seen.preview.warnings).toContainEqual({ kind: 'seen-by-base', count: 3, where: 'notes.txt:1' })
    expect(kinds(await prepare([inventWords(20_000, 'fresh')], init))).not.toContain('seen-by-base')
  })

  it('refuses what has nothing in it, or too much', async () => {
    await expect(prepare([])).rejects.toThrow(DataFormatError)
    await expect(prepare(['one'])).rejects.toThrow(/nothing to train on/)
    const limits = { tokens: 20, documents: 10 }
    await expect(prepare([inventWords(15, 'w'), inventWords(15, 'v')], { limits })).rejects.toThrow(
      /notes.txt:2: more than 20 tokens in all/,
    )
    const many = Array.from({ length: 11 }, (_, n) => inventWords(2, `w${n}.`))
    await expect(prepare(many, { limits: { tokens: 1_000, documents: 10 } })).rejects.toThrow(/10 documents/)
  })

  it('stops when told to, and waits for who watches', async () => {
    const stop = new AbortController()
    const seen: number[] = []
    const documents = Array.from({ length: 9 }, (_, n) => inventWords(5, `w${n}.`))
    const preparing = prepare(documents, {
      signal: stop.signal,
      onProgress: async ({ documents: done }) => {
        await Promise.resolve()
        seen.push(done)
        if (done === 3) stop.abort()
      },
    })
    await expect(preparing).rejects.toThrow(/abort/i)
    expect(seen).toEqual([1, 2, 3])
  })
})
