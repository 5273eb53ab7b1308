/**
 * One record of JSONL or CSV as a document. Fields are known by several names, as data sets in the wild have them; what is
 * more telling wins: messages, then choices, then prompt and completion, then text.
 */
import * as z from 'zod'
import type { DocumentBody } from '#core/ports/data-source.ts'

const names = {
  text: ['text', 'content', 'body', 'document'],
  messages: ['messages', 'conversations', 'conversation', 'chat'],
  prompt: ['prompt', 'instruction', 'question', 'input', 'source'],
  context: ['input', 'context'],
  completion: ['completion', 'response', 'output', 'answer', 'chosen', 'target'],
  question: ['question', 'query', 'prompt', 'ctx', 'problem', 'sentence', 'goal', 'stem'],
  choices: ['choices', 'options', 'endings', 'candidates'],
  answer: [
    'answer',
    'label',
    'answerkey',
    'answer_key',
    'answer_index',
    'answer_idx',
    'correct',
    'correct_answer',
    'target',
  ],
} as const

/** For messages to people: what a record may be made of. */
export const knownFields = 'text; prompt and completion; messages; question, choices and answer'

const maximumChoices = 64
type Fields = ReadonlyMap<string, unknown>

/** Pure. Null for a record of no known form, or one with nothing in it. */
export function readRecord(value: unknown): DocumentBody | null {
  if (Array.isArray(value)) return readChat(value)
  if (typeof value !== 'object' || value === null) return null
  const fields: Fields = new Map(Object.entries(value).map(([name, field]) => [name.trim().toLowerCase(), field]))
  return (
    readChat(first(fields, names.messages)) ?? readChoice(fields) ?? readCompletion(fields) ?? readPlain(fields) ?? null
  )
}

/** Whether a table with these columns can hold records. */
export function hasKnownFields(columns: readonly string[]): boolean {
  const present = new Set(columns.map((name) => name.trim().toLowerCase()))
  const has = (wanted: readonly string[]) => wanted.some((name) => present.has(name))
  return has(names.text) || has(names.messages) || has(names.completion) || (has(names.question) && has(names.answer))
}

const message = z.union([
  z.object({ role: z.string(), content: z.unknown() }),
  z.object({ from: z.string(), value: z.unknown() }).transform(({ from, value }) => ({ role: from, content: value })),
])
const roles: Readonly<Record<string, 'system' | 'user' | 'assistant'>> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  human: 'user',
  prompter: 'user',
  assistant: 'assistant',
  gpt: 'assistant',
  bot: 'assistant',
  model: 'assistant',
}
const contentParts = z.array(z.object({ type: z.literal('text'), text: z.string() })).min(1)

/** All messages must be of a known role and be text, and the assistant must say something. */
function readChat(value: unknown): DocumentBody | null {
  const parsed = z.array(message).min(1).max(10_000).safeParse(jsonOf(value))
  if (!parsed.success) return null
  const messages = parsed.data.map(({ role, content }) => ({
    role: roles[role.trim().toLowerCase()],
    content: contentOf(content),
  }))
  const known = messages.flatMap(({ role, content }) =>
    role === undefined || content === null ? [] : [{ role, content }],
  )
  const isAnswered = known.some(({ role, content }) => role === 'assistant' && content.trim() !== '')
  return known.length === messages.length && isAnswered ? { kind: 'chat', messages: known } : null
}

function contentOf(content: unknown): string | null {
  if (typeof content === 'string') return content
  const parts = contentParts.safeParse(content)
  return parts.success ? parts.data.map(({ text }) => text).join('\n') : null
}

interface Choices {
  readonly texts: readonly string[]
  /** What an answer may call them, besides their place and their text. */
  readonly labels: readonly string[]
}

function readChoice(fields: Fields): DocumentBody | null {
  const question = textOf(first(fields, names.question))
  const choices = readChoices(fields)
  if (question === null || choices === null) return null
  const answer = placeOf(first(fields, names.answer), choices)
  return answer === null ? null : { kind: 'choice', question, choices: choices.texts, answer }
}

const listOfTexts = z
  .array(z.union([z.string(), z.number()]).transform(String))
  .min(2)
  .max(maximumChoices)
const labelledChoices = z.object({ text: listOfTexts, label: listOfTexts })
const choiceObjects = z
  .array(z.object({ text: z.string(), label: z.string() }))
  .min(2)
  .max(maximumChoices)

/** A list, a list with labels, or a field for each (`choice_a`, `option1`, `ending0`, `A`). */
function readChoices(fields: Fields): Choices | null {
  const value = jsonOf(first(fields, names.choices))
  const list = listOfTexts.safeParse(value)
  if (list.success) return checked({ texts: list.data, labels: [] })
  const labelled = labelledChoices.safeParse(value)
  if (labelled.success) return checked({ texts: labelled.data.text, labels: labelled.data.label })
  const objects = choiceObjects.safeParse(value)
  if (objects.success) {
    return checked({ texts: objects.data.map(({ text }) => text), labels: objects.data.map(({ label }) => label) })
  }
  return choicesInFields(fields)
}

function choicesInFields(fields: Fields): Choices | null {
  for (const form of [/^(?:choice|option|ending|answer|sol)[ _-]?([a-h]|\d{1,2})$/, /^([a-h])$/]) {
    const found = [...fields]
      .map(([name, value]) => ({ label: form.exec(name)?.[1], text: textOf(value) }))
      .filter((field): field is { label: string; text: string } => field.label !== undefined && field.text !== null)
    if (found.length < 2 || found.length > maximumChoices) continue
    found.sort((a, b) => a.label.localeCompare(b.label, 'en', { numeric: true }))
    return checked({ texts: found.map(({ text }) => text), labels: found.map(({ label }) => label) })
  }
  return null
}

function checked(choices: Choices): Choices | null {
  return choices.texts.some((text) => text.trim() === '') ? null : choices
}

/** A string is a choice's text, else its label, else a letter or a place; a number is a place. Places are counted from 0. */
function placeOf(answer: unknown, { texts, labels }: Choices): number | null {
  if (typeof answer === 'number') return answer in texts ? answer : null
  if (typeof answer !== 'string') return null
  const said = answer.trim().toLowerCase()
  const byText = texts.findIndex((text) => text.trim().toLowerCase() === said)
  if (byText >= 0) return byText
  const byLabel = labels.findIndex((label) => label.trim().toLowerCase() === said)
  if (byLabel >= 0) return byLabel
  const place = /^[a-z]$/.test(said)
    ? said.charCodeAt(0) - 'a'.charCodeAt(0)
    : /^\d{1,2}$/.test(said)
      ? Number(said)
      : -1
  return place in texts ? place : null
}

/** An instruction may have an input beside it: then the prompt is both, with a line between. */
function readCompletion(fields: Fields): DocumentBody | null {
  const asked = names.prompt.find((name) => textOf(fields.get(name)) !== null)
  const completion = textOf(first(fields, names.completion))
  if (asked === undefined || completion === null || completion.trim() === '') return null
  const more = names.context.filter((name) => name !== asked).map((name) => textOf(fields.get(name)))
  const parts = [textOf(fields.get(asked)), ...more].filter((part) => part !== null && part !== '')
  return { kind: 'completion', prompt: parts.join('\n\n'), completion }
}

function readPlain(fields: Fields): DocumentBody | null {
  const text = textOf(first(fields, names.text))
  return text === null || text.trim() === '' ? null : { kind: 'text', text }
}

function first(fields: Fields, wanted: readonly string[]): unknown {
  const name = wanted.find((one) => fields.has(one) && fields.get(one) !== null && fields.get(one) !== '')
  return name === undefined ? undefined : fields.get(name)
}

function textOf(value: unknown): string | null {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : null
}

/** A table's cell may hold a list as JSON. */
function jsonOf(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}
