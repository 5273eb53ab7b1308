/** The settings of a generation, in words a newcomer can act on; the technical name is the label people search for. */
import type { ChatSettings, NumberField } from '../state/chat-settings.ts'

export type SettingField = {
  readonly name: NumberField
  readonly label: string
  readonly help: string
  /** Shown instead of `help` when the value does not fit. */
  readonly range: string
  readonly placeholder: string
  readonly whole: boolean
}

export const settingFields: readonly SettingField[] = [
  {
    name: 'maxTokens',
    label: 'Max tokens',
    help: 'Length of the continuation at most. A token is about three quarters of a word.',
    range: 'A whole number from 1 to 100,000.',
    placeholder: '128',
    whole: true,
  },
  {
    name: 'temperature',
    label: 'Temperature',
    help: '0 always takes the likeliest token; higher is freer.',
    range: 'A number from 0 to 10.',
    placeholder: '0.8',
    whole: false,
  },
  {
    name: 'topP',
    label: 'Top-p',
    help: 'Chooses among the likeliest tokens that make up this share; 1 keeps all.',
    range: 'A number above 0, at most 1.',
    placeholder: '1',
    whole: false,
  },
  {
    name: 'topK',
    label: 'Top-k',
    help: 'Chooses among this many of the likeliest tokens; 0 keeps all.',
    range: 'A whole number from 0 to 4,194,304.',
    placeholder: '0',
    whole: true,
  },
  {
    name: 'seed',
    label: 'Seed',
    help: 'The same seed gives the same text. Empty draws a new one.',
    range: 'Empty, or a whole number from 0 to 4,294,967,295.',
    placeholder: 'random',
    whole: true,
  },
]

export const stopField = {
  label: 'Stop before',
  help: 'The text ends before the first of these. One a line, spaces count.',
  range: 'At most 16 lines of at most 256 characters each.',
} as const

/** `up to 128 tokens, temperature 0.8`: what the folded settings hold. */
export function settingsSummary(settings: ChatSettings): string {
  const seed = settings.seed.trim() === '' ? '' : `, seed ${settings.seed.trim()}`
  return `up to ${settings.maxTokens.trim() || '?'} tokens, temperature ${settings.temperature.trim() || '?'}${seed}`
}
