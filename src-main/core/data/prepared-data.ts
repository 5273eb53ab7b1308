/** What training data comes to: examples a run takes, a card a patch carries, a preview a person looks at. */
import type { DataPreview } from '#contracts/api/training.ts'
import type { TrainingNote } from '#contracts/model/training-note.ts'
import type { DataCard } from '#contracts/patch-file/header.ts'
import type { Tokenizer } from '../ports/model-store.ts'
import type { TrainingExample } from '../ports/training-engine.ts'

export type Objective = DataPreview['objective']

/** One question: its choices as examples, the right one among them. Weights cover the choices' own tokens. */
export interface ChoiceExample {
  readonly choices: readonly TrainingExample[]
  readonly answer: number
}

/** In the order of hashes: the same documents give the same lists whatever files they came in, and any beginning is a fair sample. */
export type PreparedExamples =
  | {
      readonly objective: 'language-model'
      readonly train: readonly TrainingExample[]
      readonly heldOut: readonly TrainingExample[]
    }
  | {
      readonly objective: 'multiple-choice'
      readonly train: readonly ChoiceExample[]
      readonly heldOut: readonly ChoiceExample[]
    }

export interface PrepareInit {
  readonly tokenizer: Tokenizer
  /** Tokens of an example at most, the begin token included; at least 2 and at most the model's context. */
  readonly sequenceLength: number
  /** `multiple-choice` when every document is a question with choices, else `language-model`, when left out. */
  readonly objective?: Objective
  /** What the base model is known to have been trained on. */
  readonly note?: TrainingNote | null
  /** The author's words, for the card. */
  readonly description?: string
  readonly licence?: string
  readonly limits?: DataLimits
  readonly signal?: AbortSignal
  /** Called after every document; a promise holds the work up, so that others get their turn. */
  readonly onProgress?: (progress: { readonly documents: number; readonly tokens: number }) => void | Promise<void>
}

/** What is kept in memory: about 8 bytes a token and 200 bytes a document. */
export interface DataLimits {
  readonly tokens: number
  readonly documents: number
}
export const defaultDataLimits: DataLimits = { tokens: 20_000_000, documents: 1_000_000 }

export interface PreparedData {
  readonly card: DataCard
  readonly objective: Objective
  readonly examples: PreparedExamples
  readonly preview: DataPreview
}
