/** Documents as the model sees them: tokens, in windows, with weights on what is learnt. */
import type { DocumentBody } from '../ports/data-source.ts'
import type { Tokenizer } from '../ports/model-store.ts'
import type { TrainingExample } from '../ports/training-engine.ts'
import { chatSegments, choiceSegments, completionSegments, type Segment } from './chat-template.ts'
import { cutText } from './cut-text.ts'
import type { ChoiceExample } from './prepared-data.ts'
import { learntWindows, textWindows } from './windows.ts'

export type TokenisedDocument = {
  /** Whether it did not fit the sequence length and was cut. */
  readonly isCut: boolean
} & (
  | { readonly kind: 'examples'; readonly examples: readonly TrainingExample[] }
  | { readonly kind: 'choice'; readonly choice: ChoiceExample }
)

export function createDocumentTokeniser(
  tokenizer: Tokenizer,
  sequenceLength: number,
): (body: DocumentBody) => TokenisedDocument {
  const shape = { sequenceLength, beginToken: tokenizer.beginToken }
  const encoder = createSegmentEncoder(tokenizer)

  const learn = (segments: readonly Segment[]): TokenisedDocument => {
    const { tokens, learnt } = encoder.encode(segments)
    return { kind: 'examples', examples: learntWindows(tokens, learnt, shape), isCut: exceeds(tokens.length) }
  }
  const exceeds = (tokens: number) => tokens + (tokenizer.beginToken === null ? 0 : 1) > sequenceLength

  /** A question too long loses its beginning, the same for all choices; a choice too long by itself its end. */
  const ask = (question: string, choices: readonly string[], answer: number): TokenisedDocument => {
    const encoded = choices.map((choice) => encoder.encode(choiceSegments(question, choice)))
    const room = sequenceLength - (tokenizer.beginToken === null ? 0 : 1)
    const surplus = Math.max(0, ...encoded.map(({ tokens }) => tokens.length - room))
    const examples = encoded.map((one) => choiceExample(one, surplus, room, tokenizer.beginToken))
    return { kind: 'choice', choice: { choices: examples, answer }, isCut: surplus > 0 }
  }

  return (body) => {
    switch (body.kind) {
      case 'text': {
        const pieces = cutText(body.text).map(({ text }) => tokenizer.encode(text))
        const examples = pieces.flatMap((tokens) => textWindows(tokens, shape))
        return { kind: 'examples', examples, isCut: examples.length > 1 }
      }
      case 'completion':
        return learn(completionSegments(body.prompt, body.completion))
      case 'chat':
        return learn(chatSegments(body.messages))
      case 'choice':
        return ask(body.question, body.choices, body.answer)
    }
  }
}

interface Encoded {
  readonly tokens: number[]
  readonly learnt: (0 | 1)[]
}

/** Segments are encoded one by one, as they are when a model is asked: the end of a prompt never merges with what follows. */
function createSegmentEncoder(tokenizer: Tokenizer): { encode(segments: readonly Segment[]): Encoded } {
  const newLine = tokenizer.encode('\n')

  /** Some tokenizers put a space before whatever they are given; behind a new line they do not. */
  const encodeInside = (text: string): number[] => {
    const tokens = tokenizer.encode(`\n${text}`)
    const isPrefix = newLine.every((token, index) => tokens[index] === token)
    return isPrefix ? tokens.slice(newLine.length) : tokenizer.encode(text)
  }
  const end = tokenizer.endTokens[0]
  const ending = end === undefined ? encodeInside('\n') : [end]

  return {
    encode(segments) {
      const encoded: Encoded = { tokens: [], learnt: [] }
      for (const { text, learnt, ends } of segments) {
        const first = encoded.tokens.length === 0
        const tokens = text === '' ? [] : first ? tokenizer.encode(text) : encodeInside(text)
        for (const token of ends ? [...tokens, ...ending] : tokens) {
          encoded.tokens.push(token)
          encoded.learnt.push(learnt ? 1 : 0)
        }
      }
      return encoded
    },
  }
}

/** The question keeps at least one token of itself to predict the choice from, where there is no begin token. */
function choiceExample(
  { tokens, learnt }: Encoded,
  surplus: number,
  room: number,
  begin: number | null,
): TrainingExample {
  const asked = learnt.indexOf(1) < 0 ? tokens.length : learnt.indexOf(1)
  const dropped = Math.min(surplus, Math.max(0, asked - (begin === null ? 1 : 0)))
  const kept = tokens.slice(dropped, dropped + room)
  const weights = learnt.slice(dropped, dropped + room)
  if (begin !== null) return { tokens: [begin, ...kept], targetWeights: Float32Array.from(weights) }
  return { tokens: kept, targetWeights: Float32Array.from(weights.slice(1)) }
}
