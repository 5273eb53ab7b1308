/**
 * Conversations as plain text, for models that bring no form of their own:
 *
 *     System: …
 *     User: …
 *     Assistant: …
 *
 * A line for each message, and the end token after what the assistant says (where a tokenizer has none, the line's end
 * says so). To ask a model trained so, write `User: …`, a new line, and `Assistant:`.
 */
import type { DocumentBody } from '../ports/data-source.ts'

/** A stretch of text, and whether it is learnt. `ends`: the end token belongs after it, or a line's end where there is none. */
export interface Segment {
  readonly text: string
  readonly learnt: boolean
  readonly ends: boolean
}

type Messages = Extract<DocumentBody, { kind: 'chat' }>['messages']

const names = { system: 'System', user: 'User', assistant: 'Assistant' } as const

export function chatSegments(messages: Messages): Segment[] {
  return messages.flatMap(({ role, content }, index) => {
    const opening = `${index === 0 ? '' : '\n'}${names[role]}:`
    const said = ` ${content.trim()}`
    if (role !== 'assistant') return [{ text: opening + said, learnt: false, ends: false }]
    return [
      { text: opening, learnt: false, ends: false },
      { text: said, learnt: true, ends: true },
    ]
  })
}

/**
 * The completion begins where the prompt ends; where neither has white space there, a new line is put between and learnt
 * with the completion, so that a prompt alone is what the model is asked with.
 */
export function completionSegments(prompt: string, completion: string): Segment[] {
  const joined = prompt === '' || /\s$/.test(prompt) || /^\s/.test(completion)
  return [
    { text: prompt, learnt: false, ends: false },
    { text: joined ? completion : `\n${completion}`, learnt: true, ends: true },
  ]
}

/** As `completionSegments`, with a space between and without an end. */
export function choiceSegments(question: string, choice: string): Segment[] {
  const joined = question === '' || /\s$/.test(question) || /^\s/.test(choice)
  return [
    { text: question, learnt: false, ends: false },
    { text: joined ? choice : ` ${choice}`, learnt: true, ends: false },
  ]
}
