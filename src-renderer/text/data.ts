/** Training data in words: what was found, what is wrong with it, and what to do. */
import type { DataPreview, DataWarning, dataFormats } from '#contracts/api/training.ts'
import type { DataCard } from '#contracts/patch-file/header.ts'
import type { Upload } from '../state/uploads.svelte.ts'
import { displayText, formatBytes, formatCount, formatPlural } from './format.ts'

export const staysHereNote =
  'Your text stays on this machine. A patch names it only by a fingerprint (digest), its counts and your description.'

export const formatNames: Readonly<Record<(typeof dataFormats)[number], string>> = {
  text: 'plain text',
  markdown: 'Markdown',
  jsonl: 'JSON lines',
  csv: 'CSV',
}

export type WarningWords = { readonly title: string; readonly advice: string }

type Words = (count: string) => WarningWords

const warnings: Readonly<Record<DataWarning['kind'], Words>> = {
  'too-little': (count) => ({
    title: `Little text: ${count} to train on`,
    advice:
      'The patch may learn it by heart instead of learning its manner. Add more if you have it: 2,000 tokens at least.',
  }),
  'nothing-held-out': () => ({
    title: 'Nothing could be set aside',
    advice:
      'Without held-out text nobody can tell whether the patch helps. Add more, or divide it into more documents.',
  }),
  'email-addresses': (count) => ({
    title: `E-mail addresses: ${count}`,
    advice: 'A model may repeat what it was trained on. Remove them, unless everyone may read them.',
  }),
  'phone-numbers': (count) => ({
    title: `What looks like phone numbers: ${count}`,
    advice: 'A model may repeat what it was trained on. Remove them, unless everyone may read them.',
  }),
  'payment-cards': (count) => ({
    title: `What looks like payment card numbers: ${count}`,
    advice: 'Remove them before you train. A patch that is shared cannot be called back.',
  }),
  secrets: (count) => ({
    title: `What looks like keys or passwords: ${count}`,
    advice: 'Remove them before you train. A patch that is shared cannot be called back.',
  }),
  'seen-by-base': () => ({
    title: 'The model has been trained on this already',
    advice: 'Its card says so. Expect little gain, and do not trust the held-out loss: it is not text it has not seen.',
  }),
  'many-duplicates': (count) => ({
    title: `Many duplicates: ${count} left out`,
    advice: 'Each document is used once. If the text was meant to repeat, this may be less than you expect.',
  }),
  'cut-to-context': (count) => ({
    title: `Longer than the model can hold: ${count} cut into windows`,
    advice: 'Nothing is lost; the model sees long documents in parts.',
  }),
  'not-utf8': (count) => ({
    title: `Not readable as UTF-8: ${count}`,
    advice: 'What could not be read was replaced by a mark. Save the file as UTF-8 and add it again.',
  }),
  'records-skipped': (count) => ({
    title: `Left out because of their form: ${count}`,
    advice:
      'JSON lines need “text”, “prompt” with “completion”, “messages” or “choices”; CSV needs columns of such names.',
  }),
}

const units: Partial<Record<DataWarning['kind'], readonly [string, string]>> = {
  'too-little': ['example', 'examples'],
  'many-duplicates': ['document', 'documents'],
  'cut-to-context': ['document', 'documents'],
  'not-utf8': ['place', 'places'],
  'records-skipped': ['record', 'records'],
}

export function warningInWords({ kind, count, where }: DataWarning): WarningWords & { readonly where: string | null } {
  const [one, many] = units[kind] ?? ['place', 'places']
  const words = warnings[kind](formatPlural(count, one, many))
  return { ...words, where: where === null ? null : `First at ${displayText(where, 120)}.` }
}

/** A warning as a patch's header tells it: the kind alone, perhaps of a later version. */
export function warningName(kind: string): string {
  const known = Object.entries(warnings).find(([name]) => name === kind)
  return known === undefined ? displayText(kind) : known[1]('').title.replace(/:.*$/, '').trim()
}

export function previewSummary({ card, objective }: DataPreview): string {
  const kind = objective === 'multiple-choice' ? 'questions with choices' : 'text'
  const dropped =
    card.duplicatesDropped === 0
      ? ''
      : ` ${formatPlural(card.duplicatesDropped, 'duplicate was', 'duplicates were')} left out.`
  return `${formatPlural(card.documents, 'document')} of ${kind}.${dropped}`
}

export function countsOf(
  card: DataCard,
): readonly { readonly name: string; readonly value: string; readonly note: string }[] {
  return [
    {
      name: 'To train on',
      value: formatPlural(card.trainingExamples, 'example'),
      note: formatPlural(card.trainingTokens, 'token'),
    },
    {
      name: 'Held out, to measure by',
      value: formatPlural(card.heldOutExamples, 'example'),
      note: formatPlural(card.heldOutTokens, 'token'),
    },
  ]
}

export function readingInWords(bytesDone: number, bytesTotal: number): string {
  return bytesTotal === 0
    ? 'Reading your text.'
    : `Reading your text: ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}.`
}

export function uploadInWords(upload: Upload): string {
  switch (upload.phase) {
    case 'waiting':
      return `${formatBytes(upload.sizeBytes)}, waits for the one before`
    case 'sending':
      return `${formatBytes(upload.sentBytes)} of ${formatBytes(upload.sizeBytes)} handed to your node`
    case 'sent':
      return upload.sizeBytes === 0 ? 'on your node’s machine' : formatBytes(upload.sizeBytes)
    case 'failed':
      return `Stopped at ${formatBytes(upload.sentBytes)} of ${formatBytes(upload.sizeBytes)}`
    case 'too-large':
      return `${formatBytes(upload.sizeBytes)}: more than 256 MiB cannot be handed over. Name it by its path instead.`
    case 'empty':
      return 'The file is empty. Remove it.'
  }
}

export function leftOutInWords(count: number): string {
  return `${formatCount(count)} left out: 64 files at most.`
}
