import { existsSync } from 'node:fs'
import { type DataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { listLedger } from '#app/ledger-list.ts'
import { verifyLedger } from '#app/verify-ledger.ts'
import { openLedger } from '#assembly/ledger.ts'
import type { LedgerList, LedgerVerdict } from '#contracts/api/ledger.ts'
import { shortDigest } from '#contracts/digest.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { formatSpan } from '#contracts/span.ts'
import { exitCodes, formatBytes, formatTable, print, printJson } from '../output.ts'

export async function list(options: { profile?: string; limit: number; json?: true }): Promise<void> {
  await using ledger = await openLedger(existingProfile(options))
  const page = await listLedger(ledger, { before: null, limit: options.limit, kind: null })
  if (options.json) printJson(page)
  else print(describeEntries(page))
}

export async function verify(options: { profile?: string; json?: true }): Promise<void> {
  await using ledger = await openLedger(existingProfile(options))
  let verdict: LedgerVerdict | null = null
  for await (const event of verifyLedger(ledger)) if (event.type === 'verdict') verdict = event.verdict
  if (verdict === null) return
  if (options.json) printJson(verdict)
  else print(describeVerdict(verdict))
  if (verdict.kind === 'broken') process.exitCode = exitCodes.ledger
}

/** Looking must not make a new profile out of a misspelt name. */
function existingProfile(options: { profile?: string }): DataDirectory {
  const directory = dataDirectory(options)
  if (options.profile === undefined || existsSync(directory.profileDirectory)) return directory
  throw new InvalidInputError('profile', `there is none called ${directory.profile} in ${directory.home}`)
}

function describeEntries(page: LedgerList): string {
  if (page.rows.length === 0) return 'No entries yet. The first appears when a session through this node has ended.'
  const heading = ['#', 'when', 'kind', 'peer', 'model', 'blocks', 'in', 'out', 'received', 'sent', 'outcome']
  const rows = page.rows.map((row) => [
    String(row.sequence),
    new Date(row.startedAtMs).toISOString(),
    row.kind,
    row.self ? 'this node' : row.peerId,
    shortDigest(row.modelDigest),
    formatSpan(row.span),
    String(row.tokensIn),
    String(row.tokensOut),
    formatBytes(row.bytesReceived),
    formatBytes(row.bytesSent),
    row.outcome,
  ])
  return `${formatTable([heading, ...rows])}\n${page.totalEntries} entries in all.`
}

function describeVerdict(verdict: LedgerVerdict): string {
  if (verdict.kind === 'intact') return `Intact: ${verdict.entries} entries, every hash and signature holds.`
  return `Broken at entry ${verdict.sequence} (${verdict.because}); the entries before it hold.`
}
