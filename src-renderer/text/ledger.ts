/** The ledger in words. */
import type { LedgerRow, LedgerVerdict } from '#contracts/api/ledger.ts'
import { formatCount, formatPlural } from './format.ts'

export const kindWords: Readonly<Record<LedgerRow['kind'], string>> = { served: 'Served', used: 'Used' }

export const outcomeWords: Readonly<Record<LedgerRow['outcome'], string>> = {
  completed: 'completed',
  interrupted: 'cut short',
  failed: 'failed',
}

const breakWords: Readonly<Record<Extract<LedgerVerdict, { kind: 'broken' }>['because'], string>> = {
  gap: 'An entry is missing there: the numbers do not follow one another.',
  chain: 'It does not continue the entry before it: the hashes do not link up.',
  hash: 'Its content does not match its hash: it was changed after it was written.',
  signature: 'Its signature was not made with this node’s key.',
  malformed: 'It cannot be read as an entry.',
  truncated: 'The ledger ends before the last entry that was signed: entries were removed from its end.',
}

export type VerdictWords = { readonly good: boolean; readonly title: string; readonly detail: string }

export function verdictInWords(verdict: LedgerVerdict): VerdictWords {
  if (verdict.kind === 'intact') {
    const detail =
      verdict.entries === 0
        ? 'There are no entries yet, so there is nothing that could be wrong.'
        : `All ${formatPlural(verdict.entries, 'entry', 'entries')} link up, match their hashes and carry this node’s signature.`
    return { good: true, title: 'The ledger is intact', detail }
  }
  return {
    good: false,
    title: `The ledger is broken at entry ${formatCount(verdict.sequence)}`,
    detail: `${breakWords[verdict.because]} ${brokenRemainder(verdict.sequence)} Nothing was deleted.`,
  }
}

function brokenRemainder(sequence: number): string {
  if (sequence === 0) return 'No entry can be relied on.'
  if (sequence === 1) return 'Entry 0 holds.'
  return `Entries 0 to ${formatCount(sequence - 1)} hold.`
}
