import type { LedgerVerifyEvent } from '#contracts/api/ledger.ts'
import { verifyChain } from '#core/ledger/verify-chain.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'

/** Walks the whole chain; yields how far it is now and then, and the verdict at the end. Stops when its reader leaves. */
export async function* verifyLedger(
  components: { ledger: LedgerStore; verifier: SignatureVerifier; peerId: string },
  signal?: AbortSignal,
): AsyncGenerator<LedgerVerifyEvent, void, undefined> {
  const { ledger, verifier, peerId } = components
  const expectedHead = await ledger.head()
  const total = await ledger.count()
  const progress: number[] = []
  const left = new AbortController()
  let wake = (): void => {}
  const verdict = verifyChain(ledger.entries(), {
    verifier,
    peerId,
    expectedHead,
    onProgress: (checked) => {
      progress.push(checked)
      wake()
    },
    signal: signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]),
  })
  const ended = verdict.then(
    () => true,
    () => true,
  )
  try {
    for (;;) {
      const woken = new Promise<false>((resolve) => {
        wake = () => resolve(false)
      })
      for (const checked of progress.splice(0)) yield { type: 'progress', checked, total: Math.max(total, checked) }
      if (await Promise.race([ended, woken])) break
    }
    yield { type: 'verdict', verdict: await verdict }
  } finally {
    left.abort()
  }
}
