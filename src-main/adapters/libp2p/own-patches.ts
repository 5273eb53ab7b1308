/**
 * This node's own word about its patches: signs what it offers, some patches an announcement, repeats it before it runs out,
 * and withdraws what it no longer has. Every announcement has a higher sequence than the one before, across restarts too,
 * for it starts at the wall clock.
 */
import type { Digest } from '#contracts/digest.ts'
import {
  type AnnouncedPatch,
  type Announcement,
  announcementSchema,
  announcementSigningBytes,
  encodeAnnouncement,
  encodeSignedAnnouncement,
  maximumAnnouncedPatches,
  maximumAnnouncementAddresses,
} from '#contracts/wire/patches/announce.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Identity } from '#core/ports/keys.ts'
import { createSerialQueue } from '#core/serial-queue.ts'
import { maxOfferedPatches, type Timeouts } from './limits.ts'
import type { Log } from './log.ts'

interface Said {
  readonly message: Announcement
  readonly bytes: Uint8Array
  readonly expiresAtMs: number
}

export interface OwnPatches {
  /** The announcements in force that have something of it, to be handed to who asks. */
  signed(wanted: {
    readonly baseDigest: Digest | null
    readonly digest: Digest | null
  }): readonly { signed: Uint8Array; remainingMs: number }[]
  /** What is offered now. Throws nothing: a patch that cannot be put into words is left out. */
  offered(): readonly AnnouncedPatch[]
  /** Replaces what is offered, and says so to everybody. */
  replace(patches: readonly AnnouncedPatch[]): Promise<void>
  stop(): void
}

/** New patches are announced again soon: neighbours that were just connecting may have missed the first. */
const earlyRepeatsMs = [500, 2_000, 10_000] as const

export function createOwnPatches(
  components: {
    readonly identity: Identity
    readonly clock: Clock
    readonly log: Log
    readonly publish: (bytes: Uint8Array) => Promise<void>
    readonly addresses: () => readonly string[]
  },
  init: { readonly timeouts: Timeouts },
): OwnPatches {
  const { identity, clock, log } = components
  const { patchAnnounceEveryMs, patchLifetimeMs } = init.timeouts
  let offered: readonly AnnouncedPatch[] = []
  let said: readonly Said[] = []
  let sequence = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  let stopped = false
  const statements = createSerialQueue()

  async function say(withdrawn: readonly Digest[]): Promise<void> {
    const statements = await Promise.all(announcementsOf(offered, withdrawn).map(sign))
    said = statements.filter(({ message }) => message.offered.length > 0)
    for (const { bytes } of statements) {
      try {
        await components.publish(bytes)
      } catch (error) {
        log.debug({ error }, 'patches not announced; it is repeated')
      }
    }
  }

  async function sign(patches: Pick<Announcement, 'offered' | 'withdrawn'>): Promise<Said> {
    sequence = Math.max(sequence + 1, Math.floor(clock.now()))
    const message = announcementSchema.parse({
      version: 1,
      peerId: identity.peerId,
      addresses: components.addresses().slice(0, maximumAnnouncementAddresses),
      ...patches,
      sequence,
      lifetimeMs: patchLifetimeMs,
    })
    const payload = encodeAnnouncement(message)
    const bytes = encodeSignedAnnouncement(payload, await identity.sign(announcementSigningBytes(payload)))
    return { message, bytes, expiresAtMs: clock.monotonicMs() + patchLifetimeMs }
  }

  function repeatIn(delaysMs: readonly number[]): void {
    clearTimeout(timer)
    if (offered.length === 0 || stopped) return
    const [delayMs = patchAnnounceEveryMs, ...later] = delaysMs
    timer = setTimeout(() => void statements.add(() => repeat(later)), Math.min(delayMs, patchAnnounceEveryMs))
    timer.unref()
  }

  async function repeat(later: readonly number[]): Promise<void> {
    if (offered.length === 0 || stopped) return
    await say([])
    repeatIn(later)
  }

  return {
    signed({ baseDigest, digest }) {
      const wanted = (patch: AnnouncedPatch) =>
        (baseDigest === null || patch.baseDigest === baseDigest) && (digest === null || patch.digest === digest)
      return said
        .filter(({ message }) => message.offered.some(wanted))
        .map(({ bytes, expiresAtMs }) => ({
          signed: bytes,
          remainingMs: Math.max(0, Math.floor(expiresAtMs - clock.monotonicMs())),
        }))
    },
    offered: () => offered,
    replace: (patches) =>
      statements.add(async () => {
        const before = offered
        offered = patches.slice(0, maxOfferedPatches)
        const kept = new Set(offered.map(({ digest }) => digest))
        if (before.length === kept.size && before.every(({ digest }) => kept.has(digest))) return
        const withdrawn = before.map(({ digest }) => digest).filter((digest) => !kept.has(digest))
        if (offered.length > 0 || withdrawn.length > 0) await say(withdrawn)
        repeatIn(earlyRepeatsMs)
      }),
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}

/** Patches of one base stand together, so that an answer about a base needs few announcements. */
function announcementsOf(offered: readonly AnnouncedPatch[], withdrawn: readonly Digest[]) {
  const byBase = [...Map.groupBy(offered, ({ baseDigest }) => baseDigest).values()].flat()
  return [
    ...chunks(byBase).map((some) => ({ offered: some, withdrawn: [] })),
    ...chunks(withdrawn).map((some) => ({ offered: [], withdrawn: some })),
  ]
}

function chunks<T>(list: readonly T[]): T[][] {
  const count = Math.ceil(list.length / maximumAnnouncedPatches)
  return Array.from({ length: count }, (_, index) =>
    list.slice(index * maximumAnnouncedPatches, (index + 1) * maximumAnnouncedPatches),
  )
}
