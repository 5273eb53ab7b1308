/**
 * Walks a ledger from its first entry and says whether it is whole: every entry well-formed, numbered without gaps,
 * holding the hash of the one before, hashed and signed by this node, and none cut off the end.
 */
import type { LedgerVerdict } from '#contracts/api/ledger.ts'
import type { Digest } from '#contracts/digest.ts'
import { codeOf } from '#contracts/errors.ts'
import { firstPreviousHash, hashEntry, signingBytes } from '#contracts/receipt/entry-codec.ts'
import { type LedgerHead, type SignedLedgerEntry, signedLedgerEntrySchema } from '#contracts/receipt/ledger-entry.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'

export interface VerifyChainOptions {
  readonly verifier: SignatureVerifier
  /** Whose ledger it is: the key that must have signed every entry. */
  readonly peerId: string
  /** The seal kept outside of the entries, read before them; without one, a cut tail cannot be seen. */
  readonly expectedHead?: LedgerHead | null
  /** Called now and then, and at the end, with the number of entries that hold so far. */
  readonly onProgress?: (checked: number) => void
  readonly signal?: AbortSignal
}

type Broken = Extract<LedgerVerdict, { kind: 'broken' }>
type Fault = Broken['because']

/** What the next entry is checked against. */
interface Walk {
  readonly checked: number
  readonly lastHash: Digest | null
}

/** Entries between two calls of `onProgress`. */
const progressInterval = 128

/**
 * The verdict names the first entry that does not hold. An entry the store cannot even read (`ledger-corrupt`) counts as
 * malformed; a head that this node never signed counts as a bad signature after the last entry. Throws when aborted, and
 * whatever else reading throws.
 */
export async function verifyChain(
  entries: AsyncIterable<SignedLedgerEntry>,
  options: VerifyChainOptions,
): Promise<LedgerVerdict> {
  const head = options.expectedHead ?? null
  const headIsOurs = head === null || (await signedByUs(head, options))
  let walk: Walk = { checked: 0, lastHash: null }
  try {
    for await (const stored of entries) {
      options.signal?.throwIfAborted()
      const hash = await checkEntry(stored, walk, headIsOurs ? head : null, options)
      if (typeof hash !== 'string') return broken(walk.checked, hash.because)
      walk = { checked: walk.checked + 1, lastHash: hash }
      if (walk.checked % progressInterval === 0) options.onProgress?.(walk.checked)
    }
  } catch (error) {
    if (codeOf(error) === 'ledger-corrupt') return broken(walk.checked, 'malformed')
    throw error
  }
  options.onProgress?.(walk.checked)
  if (!headIsOurs) return broken(walk.checked, 'signature')
  if (head !== null && head.sequence >= walk.checked) return broken(walk.checked, 'truncated')
  return { kind: 'intact', entries: walk.checked, headHash: walk.lastHash }
}

/** The entry's hash when it holds. */
async function checkEntry(
  stored: SignedLedgerEntry,
  walk: Walk,
  head: LedgerHead | null,
  options: VerifyChainOptions,
): Promise<Digest | { because: Fault }> {
  const parsed = signedLedgerEntrySchema.safeParse(stored)
  if (!parsed.success) return { because: 'malformed' }
  const { hash, signature, ...entry } = parsed.data
  if (entry.sequence !== walk.checked) return { because: 'gap' }
  if (entry.previousHash !== (walk.lastHash ?? firstPreviousHash)) return { because: 'chain' }
  if (hashEntry(entry) !== hash) return { because: 'hash' }
  if (!(await signedByUs({ hash, signature }, options))) return { because: 'signature' }
  // A chain written anew with the node's own key holds in itself, but not against the seal of the chain before.
  if (head?.sequence === entry.sequence && head.hash !== hash) return { because: 'chain' }
  return hash
}

function signedByUs(seal: Pick<LedgerHead, 'hash' | 'signature'>, { verifier, peerId }: VerifyChainOptions) {
  return verifier.verify(peerId, signingBytes(seal.hash), seal.signature)
}

function broken(sequence: number, because: Fault): Broken {
  return { kind: 'broken', sequence, because }
}
