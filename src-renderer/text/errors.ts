/**
 * The sentences for everything that can go wrong: what happened, why, and what you can do. One entry for every code of
 * `contracts/errors.ts`, and for the two failures only a page can see: the node out of reach, and one of another version.
 */
import type { ErrorCode, ErrorParams } from '#contracts/errors.ts'
import { engineName } from './engine.ts'
import { displayText, formatBytes, formatCount, isShowable } from './format.ts'

export type FailureCode = ErrorCode | 'connection-lost'
export type Failure = { readonly code: FailureCode; readonly params: ErrorParams }
export type Wording = { readonly what: string; readonly why: string; readonly next: string }

type Words = (params: ErrorParams) => Wording

function text(params: ErrorParams, name: string, otherwise: string): string {
  const value = params[name]
  if (typeof value !== 'string') return otherwise
  const shown = displayText(value)
  return shown === '' ? otherwise : shown
}

/** A node's phrase as a sentence of ours: a capital in front, one full stop behind. */
function sentence(words: string): string {
  const whole = words.charAt(0).toUpperCase() + words.slice(1)
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`
}

function count(params: ErrorParams, name: string, otherwise: string): string {
  const value = params[name]
  return typeof value === 'number' && isShowable(value) ? formatCount(value) : otherwise
}

function bytes(params: ErrorParams, name: string, otherwise: string): string {
  const value = params[name]
  return typeof value === 'number' && isShowable(value) ? formatBytes(value) : otherwise
}

/** A digest as people see it: eight characters. */
function digest(params: ErrorParams, name: string): string {
  return text(params, name, 'another').slice(0, 8)
}

/** `2:4, 6:7`, as the node names spans, to `blocks 2–3 and 6`, as people count. */
export function blocksInWords(spans: string): string {
  const ranges = spans
    .split(',')
    .map((part) => /^\s*(\d{1,4}):(\d{1,4})\s*$/.exec(part))
    .map((match) => (match === null ? null : { first: Number(match[1]), last: Number(match[2]) - 1 }))
    .filter((range) => range !== null && range.first <= range.last) as { first: number; last: number }[]
  if (ranges.length === 0) return 'some blocks'
  const words = ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}–${last}`))
  const single = ranges.length === 1 && ranges[0]?.first === ranges[0]?.last
  const list = words.length === 1 ? words[0] : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
  return `${single ? 'block' : 'blocks'} ${list}`
}

const engineWords: ReadonlyMap<string, string> = new Map([
  ['every backend', 'Every engine here'],
  ['nothing-works', 'none of them works on this machine'],
  ['nothing-exact', 'none of them computes exactly enough'],
])

function engineOf(params: ErrorParams): string {
  const backend = text(params, 'backend', 'it')
  return engineWords.get(backend) ?? engineName(backend)
}

const refusals: Readonly<Record<string, Pick<Wording, 'why' | 'next'>>> = {
  paused: { why: 'It is paused.', next: 'Try again: another peer may hold the same blocks.' },
  busy: { why: 'It serves as many sessions as it can.', next: 'Try again in a moment.' },
  'wrong-model': { why: 'It hosts another model.', next: 'Choose a model that the swarm hosts.' },
  'wrong-span': { why: 'It no longer holds the blocks it announced.', next: 'Try again: the route is looked up anew.' },
  'too-long': {
    why: 'The text is longer than it has memory for.',
    next: 'Shorten the prompt or ask for fewer tokens.',
  },
  'unknown-patch': {
    why: 'It lacks a patch that the text is to use, and could not fetch it.',
    next: 'Share the patch, so that peers can fetch it, or generate with this machine’s blocks only.',
  },
}

const wordings: Readonly<Record<FailureCode, Words>> = {
  internal: () => ({
    what: 'Something in Quiltbee failed unexpectedly.',
    why: 'This is a fault of ours, not of anything you did.',
    next: 'Try again. If it stays, copy the details and report them.',
  }),
  'invalid-input': (params) => ({
    what: 'The node did not accept this input.',
    why: sentence(
      `${text(params, 'where', 'one of the values')}: ${text(params, 'what', 'it is outside what is allowed')}`,
    ),
    next: 'Correct the value and try again.',
  }),
  cancelled: () => ({
    what: 'Stopped.',
    why: 'You, or the node shutting down, ended it before it was finished.',
    next: 'Start it again when you like; what was made so far is kept.',
  }),
  'model-not-found': (params) => ({
    what: `There is no model called ${text(params, 'model', 'that')}.`,
    why: 'It is neither on this machine nor hosted by a peer in reach.',
    next: 'Check the name, or import the model with `quiltbee model import`.',
  }),
  'model-format': (params) => ({
    what: 'The model’s files cannot be read.',
    why: sentence(`${text(params, 'where', 'a file')}: ${text(params, 'what', 'it contradicts its format')}`),
    next: 'The files may be damaged or cut short. Fetch them again and import the model once more.',
  }),
  'model-unsupported': (params) => ({
    what: 'This version cannot run the model.',
    why: sentence(text(params, 'what', 'it is of a kind that is not supported yet')),
    next: 'Use a Llama-style model, or a newer version of Quiltbee.',
  }),
  'tokenizer-format': (params) => ({
    what: 'The model’s vocabulary (tokenizer) cannot be read.',
    why: sentence(`${text(params, 'where', 'its file')}: ${text(params, 'what', 'it contradicts its format')}`),
    next: 'Fetch the tokenizer file again and import the model once more.',
  }),
  'context-too-long': (params) => ({
    what: 'The text would be longer than the model can hold.',
    why: `Prompt and continuation together ask for ${count(params, 'wanted', 'too many')} tokens; ${count(params, 'maximum', 'fewer')} fit.`,
    next: 'Shorten the prompt or ask for fewer tokens.',
  }),
  'missing-blocks': (params) => ({
    what: `Nobody in reach holds ${blocksInWords(text(params, 'blocks', ''))}.`,
    why: 'The text runs through every block of the model in order, so one gap stops it.',
    next: 'Wait for a peer that holds them to come back, or host them on one of your machines.',
  }),
  'peer-lost': (params) => ({
    what: 'A peer on the route stopped answering.',
    why: sentence(text(params, 'why', 'it closed the connection, or the network to it failed')),
    next: 'Try again: the route is looked up anew.',
  }),
  'session-refused': (params) => ({
    what: 'A peer declined to run its blocks for you.',
    ...(refusals[text(params, 'reason', '')] ?? { why: 'It gave no reason.', next: 'Try again in a moment.' }),
  }),
  'protocol-violation': () => ({
    what: 'A peer answered with something that makes no sense.',
    why: 'It may run another version, or mean harm. The connection to it was closed.',
    next: 'Try again: the route is looked up anew.',
  }),
  'budget-exceeded': (params) => ({
    what: 'This would take more than this machine lends.',
    why: `It needs ${bytes(params, 'neededBytes', 'more memory')}, and the budget is ${bytes(params, 'limitBytes', 'smaller')}.`,
    next: 'Close other programs, host fewer blocks, or raise the budget.',
  }),
  paused: () => ({
    what: 'This machine is paused.',
    why: 'While paused it runs no blocks, neither for others nor for you.',
    next: 'Resume, or generate through peers.',
  }),
  'ledger-corrupt': (params) => ({
    what: 'The ledger does not hold together.',
    why: `From entry ${count(params, 'sequence', 'some point')} on, the chain of hashes and signatures is broken.`,
    next: 'Nothing was deleted. Verify the ledger to see which entries hold, and restore a backup if you have one.',
  }),
  'ledger-newer': () => ({
    what: 'The ledger was written by a newer version.',
    why: 'This version does not know its format and leaves it untouched.',
    next: 'Update Quiltbee.',
  }),
  'profile-locked': () => ({
    what: 'Another Quiltbee already uses this profile.',
    why: 'Two nodes must not write the same ledger.',
    next: 'Use the one that runs, or start this one with another `--profile`.',
  }),
  'port-in-use': (params) => ({
    what: `Port ${count(params, 'port', 'wanted')} is taken.`,
    why: 'Another program listens there.',
    next: 'Close it, or choose another port.',
  }),
  'storage-failed': (params) => ({
    what: 'Writing to or reading from disk failed.',
    why: sentence(text(params, 'what', 'the disk may be full, removed or not writable')),
    next: 'Check free space and permissions of the data folder, then try again.',
  }),
  'engine-failed': (params) => ({
    what: 'What computes the model (the engine) failed.',
    why: sentence(
      `${engineOf(params)}: ${engineWords.get(text(params, 'why', '')) ?? text(params, 'why', 'it ended without a word')}`,
    ),
    next: 'It is started again by itself. If it keeps failing, choose another engine on the dashboard.',
  }),
  'patch-mismatch': (params) => ({
    what: 'A patch does not fit this model.',
    why: sentence(
      `${text(params, 'where', 'one of its parts')}: ${text(params, 'what', 'it is not as the model has it')}`,
    ),
    next: 'Use it with the base model that it was made for.',
  }),
  'download-failed': (params) => ({
    what: 'The model could not be downloaded.',
    why: sentence(`${text(params, 'where', 'a file')}: ${text(params, 'what', 'the connection to the hub failed')}`),
    next: 'What has arrived is kept. Start the same download again, and it goes on from there.',
  }),
  'patch-format': (params) => ({
    what: 'The patch cannot be trusted, so it was not read.',
    why: sentence(`in ${text(params, 'where', 'a part of it')}: ${text(params, 'what', 'it contradicts its format')}`),
    next: 'The file may be damaged, or not be what it claims. Nothing was kept of it. Fetch it again, or ask its author.',
  }),
  'patch-not-found': (params) => ({
    what: `There is no patch called ${text(params, 'patch', 'that')}.`,
    why: 'It is neither on this machine nor known from the swarm.',
    next: 'Check the name, or search the swarm on the Patches screen.',
  }),
  'wrong-base': (params) => ({
    what: 'The patch was made for another model.',
    why: `It changes numbers of model ${digest(params, 'actual')}; this one is ${digest(params, 'expected')}. Put on another model it would only do damage.`,
    next: 'Choose the model it was made for, or a patch that was made for this model.',
  }),
  'patch-unavailable': (params) => ({
    what: 'The patch could not be fetched.',
    why: sentence(text(params, 'why', 'no peer in reach has it, or none that has it sends it right')),
    next: 'What has arrived is kept. Try again when more peers are in reach.',
  }),
  'quota-exceeded': (params) => ({
    what: 'There is no room for this.',
    why: `${sentence(text(params, 'what', 'what it would take is over a limit'))} It takes ${bytes(params, 'wanted', 'more than is free')}; ${bytes(params, 'maximum', 'less')} is allowed.`,
    next: 'Remove what you no longer need, or raise the limit.',
  }),
  'data-format': (params) => ({
    what: 'The training text cannot be used as it is.',
    why: sentence(
      `in ${text(params, 'where', 'one of the files')}: ${text(params, 'what', 'it contradicts its format, or holds nothing to train on')}`,
    ),
    next: 'Correct the file and add it again. Plain text, Markdown, JSON lines (JSONL) and CSV are read.',
  }),
  'run-not-found': () => ({
    what: 'This training run is not here any more.',
    why: 'It was removed, or it belongs to another profile.',
    next: 'Go back to Train to see the runs of this profile.',
  }),
  'run-state': (params) => ({
    what: 'The run cannot do that now.',
    why: `It is ${text(params, 'state', 'in another state')} and cannot ${text(params, 'wanted', 'do this')}.`,
    next: 'It may have gone on meanwhile: look at what it does now.',
  }),
  'training-failed': (params) => ({
    what: 'Training came to numbers that are none.',
    why: sentence(text(params, 'what', 'the loss or a gradient was not a number')),
    next: 'The last checkpoint is kept. Train again with a lower learning rate, or with another seed.',
  }),
  'not-running': () => ({
    what: 'Your node is not running.',
    why: 'It has not finished starting, or it is shutting down.',
    next: 'Wait a few seconds and try again; if it stays, start Quiltbee anew.',
  }),
  'connection-lost': () => ({
    what: 'The connection to your node was lost.',
    why: 'The page could not hear how it ended.',
    next: 'What had arrived is kept. Try again when the connection is back.',
  }),
}

export function wordFailure(failure: Failure): Wording {
  return wordings[failure.code](failure.params)
}

/** What "Copy details" puts on the clipboard: enough to report, nothing of what you wrote. */
export function failureDetails(failure: Failure, version: string | null): string {
  return JSON.stringify({ product: 'quiltbee', version, code: failure.code, params: failure.params })
}
