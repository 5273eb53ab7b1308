import type { NodeStatus, PeerSummary } from '#contracts/api/node.ts'
import { blockCoverage } from '#core/hosting/coverage.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'
import type { SettingsStore } from '#core/ports/settings-store.ts'
import type { SpanOffer, Swarm } from '#core/ports/swarm.ts'
import type { Hosting } from './hosting.ts'
import { summariseModel } from './model-summary.ts'

export interface StatusComponents {
  readonly swarm: Swarm
  readonly ledger: LedgerStore
  readonly settings: SettingsStore
  readonly clock: Clock
  readonly hosting: Hosting
}

/** Returns the function that takes a snapshot of everything the UI and the tray show. */
export function createStatus(
  components: StatusComponents,
  init: { version: string; startedAtMs: number },
): () => Promise<NodeStatus> {
  const { swarm, ledger, settings, clock, hosting } = components
  return async () => {
    const manifest = hosting.manifest()
    const offers = manifest === null ? [] : swarm.knownOffers(manifest.digest)
    const [{ nodeName }, today, ledgerEntries] = await Promise.all([
      settings.read(),
      ledger.totals(localMidnight(clock.now())),
      ledger.count(),
    ])
    return {
      nodeName,
      peerId: swarm.selfId,
      version: init.version,
      startedAtMs: init.startedAtMs,
      addresses: [...swarm.addresses()],
      hosting: hosting.state(),
      model: manifest === null ? null : summariseModel(manifest),
      budget: hosting.budget(),
      engine: hosting.engine(),
      coverage: manifest === null ? [] : coverageOf(manifest.config.blockCount, offers, hosting, swarm.selfId),
      peers: swarm.peers().map((peer) => summarisePeer(peer, offers)),
      today: { ...today },
      ledgerEntries,
    }
  }
}

function coverageOf(
  blockCount: number,
  offers: readonly SpanOffer[],
  hosting: Hosting,
  selfId: string,
): NodeStatus['coverage'] {
  const runner = hosting.blocks()?.runner ?? null
  return [...blockCoverage(blockCount, offers, runner === null ? null : { peerId: selfId, span: runner.span })]
}

function summarisePeer(peer: ReturnType<Swarm['peers']>[number], offers: readonly SpanOffer[]): PeerSummary {
  const own = offers.filter((offer) => offer.peerId === peer.peerId)
  return {
    peerId: peer.peerId,
    nodeName: own[0]?.nodeName ?? null,
    direction: peer.direction,
    rttMs: peer.rttMs,
    spans: own.map((offer) => offer.span),
  }
}

/** "Today" is the owner's day, not Greenwich's. */
function localMidnight(nowMs: number): number {
  return new Date(nowMs).setHours(0, 0, 0, 0)
}
