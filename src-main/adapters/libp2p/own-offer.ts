/**
 * This node's own word: signs what it offers, repeats it before it runs out, and withdraws it. Every statement has a higher
 * sequence than the one before, across restarts too, for it starts at the wall clock.
 */
import { InvalidInputError } from '#contracts/errors.ts'
import {
  encodeOffer,
  encodeSignedOffer,
  maximumOfferAddresses,
  offerMessageSchema,
  offerSigningBytes,
} from '#contracts/wire/announce/messages.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Identity } from '#core/ports/keys.ts'
import type { SpanOffer } from '#core/ports/swarm.ts'
import { createSerialQueue } from '#core/serial-queue.ts'
import type { Timeouts } from './limits.ts'
import type { Log } from './log.ts'

export type OfferInit = Omit<SpanOffer, 'peerId' | 'expiresAtMs'>

export interface OwnOffer {
  readonly current: OfferInit | null
  /** The statement in force, to be handed to who asks; null when nothing is offered. */
  signed(): { signed: Uint8Array; remainingMs: number } | null
  /** Throws `InvalidInputError` when the offer cannot be put into words peers accept. */
  replace(offer: OfferInit | null): Promise<void>
  stop(): void
}

/** A new offer is repeated soon: neighbours that were just connecting may have missed the first. */
const earlyRepeatsMs = [250, 1_000, 3_000] as const

export function createOwnOffer(
  components: {
    readonly identity: Identity
    readonly clock: Clock
    readonly log: Log
    readonly publish: (bytes: Uint8Array) => Promise<void>
    readonly addresses: () => readonly string[]
  },
  init: { readonly timeouts: Timeouts },
): OwnOffer {
  const { identity, clock, log } = components
  const { announceEveryMs, offerLifetimeMs } = init.timeouts
  let current: OfferInit | null = null
  let said: { readonly bytes: Uint8Array; readonly expiresAtMs: number } | null = null
  let sequence = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  let stopped = false

  /** Sequences reach the network in the order of the statements. */
  const statements = createSerialQueue()

  async function say(offer: OfferInit, withdrawn: boolean): Promise<void> {
    sequence = Math.max(sequence + 1, clock.now())
    const payload = encodeOffer(messageOf(offer, withdrawn))
    const bytes = encodeSignedOffer(payload, await identity.sign(offerSigningBytes(payload)))
    said = withdrawn ? null : { bytes, expiresAtMs: clock.monotonicMs() + offerLifetimeMs }
    try {
      await components.publish(bytes)
    } catch (error) {
      log.debug({ error }, 'offer not published; it is repeated')
    }
  }

  function messageOf(offer: OfferInit, withdrawn: boolean) {
    const message = offerMessageSchema.safeParse({
      version: 1,
      peerId: identity.peerId,
      addresses: components.addresses().slice(0, maximumOfferAddresses),
      modelDigest: offer.modelDigest,
      span: withdrawn ? null : offer.span,
      maxLength: offer.maxLength,
      nodeName: offer.nodeName,
      sequence,
      issuedAtMs: Math.max(0, Math.floor(clock.now())),
      lifetimeMs: offerLifetimeMs,
    })
    if (message.success) return message.data
    const issue = message.error.issues[0]
    throw new InvalidInputError(['offer', ...(issue?.path ?? [])].join('.'), issue?.message ?? 'does not fit')
  }

  function repeatIn(delaysMs: readonly number[]): void {
    clearTimeout(timer)
    if (current === null || stopped) return
    const [delayMs = announceEveryMs, ...later] = delaysMs
    timer = setTimeout(() => void statements.add(() => repeat(later)), Math.min(delayMs, announceEveryMs))
    timer.unref()
  }

  async function repeat(later: readonly number[]): Promise<void> {
    if (current === null || stopped) return
    await say(current, false)
    repeatIn(later)
  }

  return {
    get current() {
      return current
    },
    signed: () =>
      said && { signed: said.bytes, remainingMs: Math.max(0, Math.floor(said.expiresAtMs - clock.monotonicMs())) },
    replace: (offer) =>
      statements.add(async () => {
        const before = current
        if (offer !== null) await say(offer, false)
        else if (before !== null) await say(before, true)
        current = offer
        repeatIn(earlyRepeatsMs)
      }),
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}
