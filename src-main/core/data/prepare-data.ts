/**
 * Documents in, training examples out: duplicates dropped, personal data noticed, text cut to windows, a tenth set aside.
 * Streams: what is kept is the tokens, the digests, and where each document was. The same documents give the same
 * examples in the same order, whatever files they came in and in which order.
 */
import type { DataPreview } from '#contracts/api/training.ts'
import { DataFormatError } from '../errors.ts'
import type { DataDocument, OpenData } from '../ports/data-source.ts'
import { dataDigest, documentDigest, documentText } from './document-digest.ts'
import { defaultDataLimits, type PreparedData, type PrepareInit } from './prepared-data.ts'
import { previewSamples } from './preview.ts'
import { findSensitiveText } from './sensitive-text.ts'
import { assembleExamples, choiceTokens, exampleTokens, placeUnits, type Unit, unitsOf } from './split-examples.ts'
import { createDocumentTokeniser } from './tokenise.ts'
import { createSeenTextFinder } from './training-note.ts'
import { createWarningCollector, type WarningCollector } from './warning-collector.ts'

const leastExamples = 20
const leastTokens = 2_000
/** Hits of a note are believed from here on: chance gives about one in 800. */
const leastHits = 2
const leastHitShare = 0.02

/**
 * Reads `data` to its end. Throws `DataFormatError` when there is nothing to train on, or more than fits in memory, and
 * what `data` throws.
 */
export async function prepareData(data: OpenData, init: PrepareInit): Promise<PreparedData> {
  const gathered = await gather(data, init)
  const { digests, units, duplicates, documentsOfFile, warnings } = gathered
  const objective =
    init.objective ?? (units.every(({ choice }) => choice !== null) ? 'multiple-choice' : 'language-model')
  const usable = units.filter((unit) => {
    if (objective === 'language-model' || unit.choice !== null) return true
    warnings.add('records-skipped', unit.where)
    return false
  })
  if (usable.length === 0) throw new DataFormatError(data.files[0]?.name ?? 'data', 'holds nothing to train on')
  const placed = placeUnits(usable)
  const { examples, counts } = assembleExamples(placed, objective)

  if (counts.trainingExamples < leastExamples || counts.trainingTokens < leastTokens) {
    warnings.add('too-little', null, counts.trainingExamples)
  }
  if (counts.heldOutExamples === 0) warnings.add('nothing-held-out', null, counts.trainingExamples)
  if (duplicates * 3 > digests.size + duplicates) warnings.add('many-duplicates', gathered.firstDuplicate, duplicates)
  for (const { kind, where, count } of data.warnings()) warnings.add(kind, where, count)

  const card: PreparedData['card'] = {
    digest: dataDigest(digests),
    formats: [...new Set(data.files.map(({ format }) => format))].sort(),
    documents: digests.size,
    duplicatesDropped: duplicates,
    ...counts,
    description: init.description ?? '',
    licence: init.licence ?? '',
    warnings: warnings.all().map(({ kind }) => kind),
  }
  const preview: DataPreview = {
    card,
    objective,
    files: data.files.map((file, index) => ({ ...file, documents: documentsOfFile.get(index) ?? 0 })),
    samples: previewSamples(placed, objective, init.tokenizer),
    warnings: [...warnings.all()],
  }
  return { card, objective, examples, preview }
}

interface Gathered {
  readonly digests: ReadonlySet<string>
  readonly units: readonly Unit[]
  readonly duplicates: number
  readonly firstDuplicate: string | null
  readonly documentsOfFile: ReadonlyMap<number, number>
  readonly warnings: WarningCollector
}

async function gather(data: OpenData, init: PrepareInit): Promise<Gathered> {
  const { tokenizer, sequenceLength, signal, onProgress, limits = defaultDataLimits } = init
  const tokenise = createDocumentTokeniser(tokenizer, sequenceLength)
  const seen = createSeenCounter(init)
  const warnings = createWarningCollector()
  const digests = new Set<string>()
  const units: Unit[] = []
  const documentsOfFile = new Map<number, number>()
  let [duplicates, tokens] = [0, 0]
  let firstDuplicate: string | null = null

  for await (const document of data.documents()) {
    signal?.throwIfAborted()
    documentsOfFile.set(document.file, (documentsOfFile.get(document.file) ?? 0) + 1)
    const digest = documentDigest(document.body)
    if (digests.has(digest)) {
      duplicates++
      firstDuplicate ??= document.where
      continue
    }
    const tokenised = tokenise(document.body)
    const added = unitsOf(digest, document.where, units.length, tokenised)
    if (added.length === 0) {
      warnings.add('records-skipped', document.where)
      continue
    }
    digests.add(digest)
    if (tokenised.isCut) warnings.add('cut-to-context', document.where)
    lookThrough(document, warnings)
    seen.add(document)
    for (const unit of added) {
      units.push(unit)
      tokens += unit.choice === null ? exampleTokens(unit.examples) : choiceTokens(unit.choice)
    }
    expectRoom(document.where, tokens, digests.size, limits)
    await onProgress?.({ documents: digests.size, tokens })
  }
  seen.warn(warnings)
  return { digests, units, duplicates, firstDuplicate, documentsOfFile, warnings }
}

function lookThrough({ body, where }: DataDocument, warnings: WarningCollector): void {
  for (const { kind } of findSensitiveText(documentText(body))) warnings.add(kind, where)
}

function expectRoom(
  where: string,
  tokens: number,
  documents: number,
  limits: NonNullable<PrepareInit['limits']>,
): void {
  const tooMuch = (what: string) => new DataFormatError(where, `more than ${what} in all: leave some of the data out`)
  if (tokens > limits.tokens) throw tooMuch(`${limits.tokens} tokens`)
  if (documents > limits.documents) throw tooMuch(`${limits.documents} documents`)
}

/** Counts the documents of which the base has seen as good as all that was sampled. */
function createSeenCounter({ note }: PrepareInit): {
  add(document: DataDocument): void
  warn(to: WarningCollector): void
} {
  const find = note == null ? null : createSeenTextFinder(note)
  let [sampledInAll, hitsInAll, documents] = [0, 0, 0]
  let first: string | null = null
  return {
    add({ body, where }) {
      const { sampled, hits } = find?.(documentText(body)) ?? { sampled: 0, hits: 0 }
      sampledInAll += sampled
      hitsInAll += hits
      if (hits === 0 || hits * 2 < sampled) return
      documents++
      first ??= where
    },
    warn(to) {
      const isSure = hitsInAll >= leastHits && hitsInAll >= leastHitShare * sampledInAll
      if (isSure && documents > 0) to.add('seen-by-base', first, documents)
    },
  }
}
