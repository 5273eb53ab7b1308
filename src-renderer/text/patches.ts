/** Patches in words: where they are, what they change, where they come from, and what sharing one means. */
import type { PatchDiff, PatchList, PatchSummary, TensorChange } from '#contracts/api/patches.ts'
import { isComplete, type PatchGroup } from '../state/patch-list.ts'
import type { Fetching, Search } from '../state/patches.svelte.ts'
import {
  displayText,
  formatBytes,
  formatCount,
  formatInterval,
  formatNumber,
  formatPlural,
  formatShare,
  shortPeerId,
} from './format.ts'
import { methodWords, type Question } from './training.ts'

export function patchTitle({ header }: Pick<PatchSummary, 'header'>): string {
  const title = displayText(header.title, 80)
  return title === '' ? 'Untitled patch' : title
}

export function methodOf({ header }: Pick<PatchSummary, 'header'>): string {
  if (header.training !== null) return methodWords[header.training.method].name
  return header.origin === 'merge' ? 'Merged' : 'Imported'
}

export const groupNames: Readonly<Record<PatchGroup, string>> = { mine: 'Mine', swarm: 'From the swarm' }

/** How a tensor is changed, the technical word behind it. */
export const kindWords: Readonly<Record<TensorChange['kind'], string>> = {
  delta: 'numbers of it',
  scale: 'a factor each (scale)',
  factors: 'two thin matrices (LoRA)',
}

const places: Readonly<Record<PatchSummary['where'], string>> = {
  mine: 'Trained here',
  fetched: 'Fetched',
  imported: 'From a file',
  seen: 'Not here yet',
}

export function whereInWords(patch: PatchSummary): string {
  if (patch.where === 'seen' || isComplete(patch)) return places[patch.where]
  return `${formatBytes(patch.receivedBytes)} of ${formatBytes(patch.sizeBytes)} here`
}

export function sharingInWords(patch: PatchSummary): string {
  const holders = patch.holders === 0 ? '' : `, ${formatPlural(patch.holders, 'other holder')}`
  if (patch.where === 'seen') return patch.holders === 0 ? 'no holder in reach' : formatPlural(patch.holders, 'holder')
  return `${patch.shared ? 'shared' : 'not shared'}${holders}`
}

/** The held-out gain the author claims, short; what is not claimed is not shown as zero. */
export function gainInShort({ header }: Pick<PatchSummary, 'header'>): string {
  const metric = header.metrics.find(({ name }) => name === 'held-out-loss')
  return metric === undefined ? 'not measured' : formatInterval(metric.gain)
}

export function changedInWords(patch: PatchSummary, parameters: number | null): string {
  const share = parameters === null ? '' : ` (${formatShare(patch.entries / parameters)} of the model’s)`
  return `${formatPlural(patch.entries, 'number')}${share} in ${formatPlural(patch.tensors, 'tensor')}`
}

export const claimsNote =
  'What a patch says of itself is its author’s word, signed with their key. Only digests and the signature were checked here.'

export const shareQuestion: Question = {
  title: 'Share this patch with the swarm?',
  detail:
    'Every peer can fetch it, use it and pass it on. What was fetched cannot be called back, even if you stop sharing.',
  yes: 'Share it',
  no: 'Not now',
}

/** What leaves the machine, and what does not. */
export const whatLeaves = {
  goes: 'The patch and its card: name, description, licence, counts, measures, your node’s name and its peer id.',
  stays: 'Your text stays on this machine.',
  tells:
    'Which numbers change, and by how much, can tell something about the text. Do not share what was trained on secrets.',
} as const

export function removeQuestion(patch: PatchSummary): Question {
  const back =
    patch.holders > 0
      ? `${formatPlural(patch.holders, 'peer has', 'peers have')} it too, so it can be fetched again.`
      : 'Nobody in reach has it besides you: this cannot be undone.'
  return {
    title: `Remove “${patchTitle(patch)}”?`,
    detail: `The file is deleted from this machine. ${back}`,
    yes: 'Remove it',
    no: 'Keep it',
  }
}

export function quotaInWords({ usage }: PatchList): string {
  return `${formatBytes(usage.bytes)} of ${formatBytes(usage.quotaBytes)} used`
}

export function searchInWords(search: Search, peers: number): string {
  switch (search.kind) {
    case 'asking':
      return `Asking ${formatPlural(peers, 'peer')}, up to 5 s.`
    case 'done':
      return search.found === 0
        ? 'No peer in reach offers one now.'
        : `${formatPlural(search.found, 'patch', 'patches')} on offer. Those that are new are listed.`
    default:
      return ''
  }
}

export function fetchingInWords({ receivedBytes, sizeBytes, peerId }: Fetching): string {
  if (sizeBytes === 0) return 'Looking for a peer that has it.'
  const from = peerId === null ? '' : ` from ${shortPeerId(peerId)}`
  return `${formatBytes(receivedBytes)} of ${formatBytes(sizeBytes)}${from}, checked as it comes.`
}

export function droppedInWords({ peerId, why }: Fetching['dropped'][number]): string {
  return `${shortPeerId(peerId)} was left out: ${displayText(why, 120)}. The fetch goes on with others.`
}

const roles: Readonly<Record<string, string>> = {
  'input_layernorm.weight': 'norm before attention',
  'self_attn.q_proj.weight': 'attention, query',
  'self_attn.k_proj.weight': 'attention, key',
  'self_attn.v_proj.weight': 'attention, value',
  'self_attn.o_proj.weight': 'attention, output',
  'self_attn.q_proj.bias': 'attention, query bias',
  'self_attn.k_proj.bias': 'attention, key bias',
  'self_attn.v_proj.bias': 'attention, value bias',
  'self_attn.q_norm.weight': 'attention, query norm',
  'self_attn.k_norm.weight': 'attention, key norm',
  'post_attention_layernorm.weight': 'norm before feed-forward',
  'mlp.gate_proj.weight': 'feed-forward, gate',
  'mlp.up_proj.weight': 'feed-forward, up',
  'mlp.down_proj.weight': 'feed-forward, down',
  'scale.key': 'key signal',
  'scale.value': 'value signal',
  'scale.feedForward': 'feed-forward signal',
}

const ends: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'vocabulary (embedding)',
  'model.norm.weight': 'last norm',
  'lm_head.weight': 'output (head)',
}

export type TensorPlace = { readonly block: number | null; readonly role: string }

/** `model.layers.3.mlp.up_proj.weight` to block 3, feed-forward up. A name of another kind is its own role. */
export function placeOf(tensor: string): TensorPlace {
  const match = /^model\.layers\.(\d{1,6})\.(.+)$/.exec(tensor)
  const [, block, rest] = match ?? []
  if (block === undefined || rest === undefined) return { block: null, role: ends[tensor] ?? displayText(tensor, 80) }
  return { block: Number(block), role: roles[rest] ?? displayText(rest, 80) }
}

export function tensorName(tensor: string): string {
  const { block, role } = placeOf(tensor)
  return block === null ? role : `block ${block}, ${role}`
}

export function shareOf({ entries, size }: Pick<TensorChange, 'entries' | 'size'>): number {
  return size === 0 ? 0 : Math.min(1, entries / size)
}

/** What a screen reader hears instead of the drawing. */
export function stripSummary(tensors: readonly TensorChange[]): string {
  const most = tensors.toSorted((a, b) => shareOf(b) - shareOf(a))[0]
  if (most === undefined) return 'The patch changes nothing.'
  return `The patch as a strip of cloth: ${formatPlural(tensors.length, 'tensor')} changed, most of all ${tensorName(most.tensor)} with ${formatShare(shareOf(most))} of its numbers.`
}

export type DiffFigure = { readonly name: string; readonly value: string; readonly note: string }

export function diffFigures(diff: PatchDiff): readonly DiffFigure[] {
  return [
    { name: 'Numbers in common', value: formatShare(diff.overlap), note: 'of the smaller patch’s (overlap of masks)' },
    { name: 'Direction', value: formatNumber(diff.cosine), note: '1: the same, 0: unrelated, −1: opposed (cosine)' },
    {
      name: 'Opposed changes',
      value: formatCount(diff.signConflicts),
      note: 'numbers that one raises and the other lowers',
    },
  ]
}

export function diffInWords(diff: PatchDiff): string {
  if (!diff.sameBase) return 'They were made for different models, so their numbers cannot be compared.'
  if (diff.overlap === 0) return 'They change different numbers: used together, neither gets in the other’s way.'
  if (diff.cosine > 0.2) return 'They pull in much the same direction where they meet.'
  if (diff.cosine < -0.2)
    return 'They pull against each other where they meet: used together, each undoes some of the other.'
  return 'Where they meet they pull in unrelated directions: used together, they disturb each other a little.'
}
