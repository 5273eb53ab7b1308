/** The patches of this machine and of the swarm, behind the calls that the API's handlers make. */
import type { PatchList, PatchSummary } from '#contracts/api/patches.ts'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { ModelNotFoundError, PatchNotFoundError, PatchUnavailableError } from '#core/errors.ts'
import type { PatchFetcher } from '#core/exchange/patch-fetcher.ts'
import { ancestorsOf } from '#core/patches/lineage.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Identity, SignatureVerifier } from '#core/ports/keys.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { ModelStore } from '#core/ports/model-store.ts'
import type { PatchExchange, PatchOffer } from '#core/ports/patch-exchange.ts'
import type { PatchInterop } from '#core/ports/patch-interop.ts'
import type { KeptPatch, PatchLibrary } from '#core/ports/patch-library.ts'
import { createBroadcast } from '../broadcast.ts'
import type { PatchDesk } from '../patch-desk.ts'
import { namedInLibrary } from '../patch-files.ts'
import { changesOf, diffOf } from '../patch-review.ts'
import { exportPatch, importPatch } from '../patch-transfer.ts'
import { fetchEvents } from './fetch-events.ts'
import { createPatchSource } from './patch-source.ts'
import { createSeenPatches } from './seen-patches.ts'
import { inOrderOfInterest, type PatchFacts, summariseKept, summariseSeen } from './summaries.ts'

export interface PatchDeskComponents {
  readonly library: PatchLibrary
  /** Null for a node that is in no swarm: what is here can be used, nothing found or fetched. */
  readonly exchange: PatchExchange | null
  /** The same one that sessions of peers fetch with; null with the exchange. */
  readonly fetcher: PatchFetcher | null
  readonly models: ModelStore
  readonly interop: PatchInterop
  /** Signs adapters of other programs that are imported. */
  readonly identity: Identity
  readonly verifier: SignatureVerifier
  readonly clock: Clock
  readonly logger: Logger
  /** What the owner calls this node. */
  readonly authorName: () => Promise<string>
}

export interface RunningPatchDesk extends PatchDesk {
  /** Offers and serves what is shared from now on. */
  start(): void
  stop(): void
}

/** At most four a second: a person cannot read faster. */
const listIntervalMs = 250
const maximumListed = 2_000
const minimumPrefix = 8
/** Once something was found, others have this long to be heard of, too. */
const settleMs = 1_000

export function createPatchDesk(components: PatchDeskComponents): RunningPatchDesk {
  const { library, exchange, fetcher, models, interop, identity, clock, logger } = components
  const broadcast = createBroadcast({ intervalMs: listIntervalMs })
  const seen = exchange && createSeenPatches({ ...components, exchange }, { onChange: broadcast.changed })
  const source = createPatchSource(library)
  const stopListening = [library.onChange(libraryChanged), exchange?.onChange(broadcast.changed)]

  function libraryChanged(): void {
    broadcast.changed()
    exchange?.offersChanged()
  }

  async function summaries(base: Digest | null): Promise<PatchSummary[]> {
    const [kept, follows] = await Promise.all([library.list(base === null ? {} : { base }), library.follows()])
    const followed = new Set(follows.map(({ peerId }) => peerId))
    const holders = holdersByPatch(exchange?.known(base) ?? [])
    const around = ({ digest, header }: Pick<PatchFacts, 'digest' | 'header'>) => ({
      holders: holders.get(digest) ?? 0,
      followed: followed.has(header.author.peerId),
    })
    const here = new Set(kept.map(({ digest }) => digest))
    const elsewhere = (seen?.all() ?? []).filter(({ facts }) => !here.has(facts.digest) && holders.has(facts.digest))
    return [
      ...kept.map((patch) => summariseKept(patch, around(patch))),
      ...elsewhere.map(({ facts, seenAtMs }) => summariseSeen(facts, seenAtMs, around(facts))),
    ]
  }

  async function list({ model }: { model: string | null }): Promise<PatchList> {
    const base = model === null ? null : await baseOf(models, model)
    const [patches, usage, follows] = await Promise.all([summaries(base), library.usage(), library.follows()])
    return {
      patches: inOrderOfInterest(patches).slice(0, maximumListed),
      usage: { ...usage },
      follows: follows.map((follow) => ({ ...follow })),
    }
  }

  async function summaryOf(digest: Digest): Promise<PatchSummary> {
    const found = (await summaries(null)).find((patch) => patch.digest === digest)
    if (found === undefined) throw new PatchNotFoundError(digest)
    return found
  }

  /** Also of patches that are only heard of. */
  async function digestNamed(name: string): Promise<Digest> {
    const kept = await here(name)
    if (kept !== null) return kept.digest
    const whole = digestSchema.safeParse(name)
    if (whole.success) return whole.data
    const known = [...(exchange?.known(null) ?? []), ...(seen?.all() ?? []).map(({ facts }) => facts)]
    const digests = new Set(known.map(({ digest }) => digest).filter((digest) => digest.startsWith(name)))
    const [first, second] = name.length >= minimumPrefix ? digests : []
    if (second !== undefined) throw new InvalidInputError('patch', `several patches begin with ${name}`)
    if (first === undefined) throw new PatchNotFoundError(name)
    return first
  }

  async function here(name: string): Promise<KeptPatch | null> {
    try {
      return await library.get(name)
    } catch (error) {
      if (error instanceof PatchNotFoundError) return null
      throw error
    }
  }

  async function findOffers(
    base: Digest,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal | undefined },
  ): Promise<readonly PatchOffer[]> {
    if (exchange === null) return []
    const endsAtMs = clock.monotonicMs() + timeoutMs
    const some = { enough: (offers: readonly PatchOffer[]) => offers.length > 0, timeoutMs, ...(signal && { signal }) }
    const first = await exchange.find({ base }, some)
    const leftMs = Math.min(settleMs, endsAtMs - clock.monotonicMs())
    if (first.length === 0 || leftMs <= 0) return first
    return await exchange.find({ base }, { ...some, enough: () => false, timeoutMs: leftMs })
  }

  return {
    list,
    async *watch(request, signal) {
      for await (const _ of broadcast.changes(signal)) yield await list(request)
    },
    async show(name) {
      const summary = await summaryOf(await digestNamed(name))
      const all = new Map((await summaries(null)).map((patch) => [patch.digest, patch]))
      const nodeOf = (digest: Digest) => {
        const patch = all.get(digest)
        return patch ? { ...patch.header, summary: patch } : null
      }
      const ancestors = ancestorsOf(summary.digest, nodeOf)
      const isHere = summary.where !== 'seen' && summary.receivedBytes === summary.sizeBytes
      return {
        summary,
        tensors: isHere ? await changesOf(await namedInLibrary(library, summary.digest)) : [],
        ancestors: ancestors.map(({ digest, depth, patch }) => ({ digest, depth, summary: patch?.summary ?? null })),
        children: [...all.values()]
          .filter(({ header }) => header.parents.includes(summary.digest))
          .map(({ digest }) => digest)
          .slice(0, 256),
      }
    },
    async diff({ left, right }) {
      return await diffOf(await namedInLibrary(library, left), await namedInLibrary(library, right))
    },
    async search({ model, timeoutMs }, signal) {
      if (exchange === null || seen === null) return { found: 0 }
      const bases = model === null ? (await models.list()).map(({ digest }) => digest) : [await baseOf(models, model)]
      const until = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])])
      const offers = (await Promise.all(bases.map((base) => findOffers(base, { timeoutMs, signal })))).flat()
      const wanted = new Set((await library.list({ complete: true })).map(({ digest }) => digest))
      try {
        await seen.look(
          offers.filter(({ digest }) => !wanted.has(digest)),
          { signal: until },
        )
      } catch (error) {
        signal?.throwIfAborted()
        if (!until.aborted) throw error
      }
      broadcast.changed()
      return { found: new Set(offers.map(({ digest }) => digest)).size }
    },
    fetch: (name, signal) =>
      fetchEvents(async (options) => {
        const digest = await digestNamed(name)
        if (fetcher === null) throw new PatchUnavailableError(digest, 'this node is in no swarm')
        await fetcher.fetch(digest, options)
        seen?.forget(digest)
        logger.info({ patch: digest }, 'patch fetched')
        return { type: 'done', patch: await summaryOf(digest) }
      }, signal),
    async share(name, shared) {
      const { digest, complete } = await library.get(name)
      if (shared && !complete) throw new PatchNotFoundError(name)
      await library.setShared(digest, shared)
      return await summaryOf(digest)
    },
    async remove(name) {
      const digest = await digestNamed(name)
      if ((await here(digest)) !== null) await library.remove(digest)
      else seen?.forget(digest)
      broadcast.changed()
    },
    async tag(tag, patch) {
      await library.tag(tag, patch === null ? null : (await library.get(patch)).digest)
    },
    async follow({ peerId, name, followed }) {
      if (followed) await library.follow(peerId, name)
      else await library.unfollow(peerId)
    },
    async import(request, signal) {
      const convert = { interop, models, identity, clock, library, authorName: await components.authorName() }
      const { patch, warnings } = await importPatch(convert, request, signal)
      if (warnings.length > 0) logger.info({ patch: patch.digest, warnings }, 'imported with warnings')
      return await summaryOf(patch.digest)
    },
    async export({ patch, path, format }, signal) {
      const named = await namedInLibrary(library, patch)
      const written = await exportPatch({ interop, models }, named, { path, format, signal })
      return { path: written.path, bytes: written.bytes }
    },
    start() {
      exchange?.serve(source)
    },
    stop() {
      exchange?.serve(null)
      source.stop()
      for (const stop of stopListening) stop?.()
      broadcast.stop()
    },
  }
}

function holdersByPatch(offers: readonly PatchOffer[]): ReadonlyMap<Digest, number> {
  const counts = new Map<Digest, number>()
  for (const { digest, holders } of offers) counts.set(digest, (counts.get(digest) ?? 0) + holders.length)
  return counts
}

/** By name, digest or the beginning of one; a whole digest also of a model that is not here. */
async function baseOf(models: ModelStore, name: string): Promise<Digest> {
  const all = await models.list()
  const found =
    all.find((model) => model.name === name || model.digest === name) ??
    (name.length >= minimumPrefix ? all.find((model) => model.digest.startsWith(name)) : undefined)
  if (found !== undefined) return found.digest
  const digest = digestSchema.safeParse(name)
  if (digest.success) return digest.data
  throw new ModelNotFoundError(name)
}
