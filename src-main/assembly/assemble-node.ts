/**
 * Builds a node from its parts, the same way for both shells: data folder, lock, key, ledger, models, engine, swarm. What
 * has a lifetime is closed again in reverse order, also when a later part fails.
 */
import { randomInt, randomUUID } from 'node:crypto'
import { createDataDirectory, type DataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { openLogFile } from '#adapters/files/log-file.ts'
import { createSettingsStore } from '#adapters/files/settings-store.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createHardwareProbe } from '#adapters/hardware/hardware-probe.ts'
import { loadOrCreateIdentity } from '#adapters/keys/identity-file.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { createLibp2pSwarm } from '#adapters/libp2p/swarm.ts'
import { openLedgerStore } from '#adapters/sqlite/open-ledger-store.ts'
import { acquireProfileLock } from '#adapters/sqlite/profile-lock.ts'
import { createNode, type NodeTraining, type QuiltbeeNode } from '#app/create-node.ts'
import { createPatchProvider, type PatchProviderComponents } from '#app/patch-provider.ts'
import { createPatchDesk } from '#app/patches/create-patch-desk.ts'
import type { Span } from '#contracts/span.ts'
import { defaultPolicy } from '#core/budget/default-policy.ts'
import { createPatchFetcher, type PatchFetcher } from '#core/exchange/patch-fetcher.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import { assembleCompute } from './compute.ts'
import { embeddedModelName, openModelStore, openPatchInterop } from './model-store.ts'
import { networkOptions } from './network-options.ts'
import { openLibrary } from './patch-library.ts'
import { assembleTraining, type TrainingAssembly } from './training.ts'
import { version } from './version.ts'

export interface AssembleInit {
  readonly profile?: string
  readonly model?: string
  readonly blocks?: Span | 'auto'
  /** Multiaddrs to listen on; every interface and any free port when left out. */
  readonly listen?: readonly string[]
  readonly bootstrap?: readonly string[]
  readonly mdns?: boolean
  /** The weights' format, instead of what suits the machine. */
  readonly weights?: WeightFormat
  /** Where the app's `resources` lie; found by itself when left out. */
  readonly resourcesDirectory?: string
}

export interface AssembledNode {
  readonly node: QuiltbeeNode
  readonly directory: DataDirectory
  /** Multiaddrs under which other nodes reach this one. */
  addresses(): readonly string[]
  /** Stops the node and closes everything it was built of. Idempotent. */
  stop(): Promise<void>
}

/** Throws `profile-locked` when a node runs on the profile already, and whatever a part throws that cannot be opened. */
export async function assembleNode(init: AssembleInit): Promise<AssembledNode> {
  await using parts = new AsyncDisposableStack()
  const directory = dataDirectory(init)
  createDataDirectory(directory)
  parts.adopt(acquireProfileLock(directory.lockFile, directory.profile), (held) => held.release())
  const logger = parts.adopt(openLogFile(directory.logFile, process.env['QUILTBEE_LOG'] ?? 'info'), (log) =>
    log.close(),
  )
  const clock = systemClock
  const identity = await loadOrCreateIdentity(directory.profileDirectory)
  const ledger = parts.adopt(
    openLedgerStore({ file: directory.ledgerFile, identity, clock }),
    async (store) => await store.close(),
  )
  const settings = createSettingsStore({ file: directory.settingsFile, defaultPolicy })
  // Settings that cannot be read are the owner's to mend, before anything is given on their behalf.
  await settings.read()
  const verifier = createSignatureVerifier()
  const swarm = await createLibp2pSwarm({ identity, verifier, clock, log: logger }, networkOptions(init))
  const library = parts.adopt(await openLibrary(directory, logger), (opened) => opened.close())
  const fetcher = createPatchFetcher({ exchange: swarm.patches, library, verifier, clock })
  const models = openModelStore(directory, init.resourcesDirectory)
  const compute = parts.use(assembleCompute({ directory, logger, ...computeInit(init) }))
  const patchDesk = createPatchDesk({
    ...{ library, fetcher, models, identity, verifier, clock, logger },
    exchange: swarm.patches,
    interop: openPatchInterop(directory),
    authorName: async () => (await settings.read()).nodeName,
  })
  parts.defer(() => patchDesk.stop())
  const model = init.model ?? embeddedModelName
  const node = createNode(
    {
      clock,
      logger,
      ledger,
      settings,
      swarm,
      verifier,
      models,
      patches: createPatchProvider({ library, fetch: fetchInto(fetcher) }),
      patchDesk,
      training: (beside) =>
        openTraining({ directory, logger, identity, settings, models, library, compute, model, beside }),
      compute,
      engines: compute.survey,
      probe: createHardwareProbe({ dataDirectory: directory.home, clock }),
      newSessionId: randomUUID,
      drawSeed: () => randomInt(2 ** 32),
    },
    { version, model, blocks: init.blocks ?? 'auto' },
  )
  parts.defer(() => node.stop())
  const owned = parts.move()
  return { node, directory, addresses: () => swarm.addresses(), stop: () => owned.disposeAsync() }
}

function openTraining(init: TrainingAssembly): NodeTraining {
  const training = assembleTraining(init)
  return {
    desk: training.desk,
    async start() {
      await training.sweep()
      await training.runs.start()
    },
    stop: async () => await training[Symbol.asyncDispose](),
  }
}

/** For sessions of peers: only the wish to have it, never a share in what others fetch. */
function fetchInto(fetcher: PatchFetcher): PatchProviderComponents['fetch'] {
  return async (patch, limits) => void (await fetcher.fetch(patch, limits))
}

function computeInit({ weights, resourcesDirectory }: AssembleInit) {
  return { ...(weights && { format: weights }), ...(resourcesDirectory && { resourcesDirectory }) }
}
