/** Generating from a terminal with no node running: on this machine alone, or as a client that joins a swarm for one text. */
import { randomInt, randomUUID } from 'node:crypto'
import { availableParallelism } from 'node:os'
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import { openLogFile } from '#adapters/files/log-file.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createGenerator, createOwnShelf, type Generator, type LocalBlocks } from '#app/generator.ts'
import { createPatchProvider } from '#app/patch-provider.ts'
import type { GenerateEvent, GenerateRequest } from '#contracts/api/chat.ts'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import type { EngineInUse } from '#core/ports/compute.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { PatchProvider } from '#core/ports/patch-provider.ts'
import type { Swarm } from '#core/ports/swarm.ts'
import { usualPolicy } from './calibration.ts'
import { type AssembledCompute, assembleCompute } from './compute.ts'
import { type OpenLedger, openLedger } from './ledger.ts'
import { openModelStore } from './model-store.ts'
import { networkOptions } from './network-options.ts'
import { openLibrary } from './patch-library.ts'

export interface StandaloneGenerator extends AsyncDisposable {
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<GenerateEvent, void, undefined>
}

interface Parts {
  readonly directory: DataDirectory
  readonly model: string
  readonly ledger: OpenLedger
  readonly logger: Logger
  readonly compute: AssembledCompute
  readonly swarm: Swarm | null
  readonly local: LocalBlocks | null
  readonly patches: PatchProvider
}

/** Loads all of the model's blocks here. */
export async function openLocalGenerator(init: {
  readonly directory: DataDirectory
  readonly model: string
  readonly signal: AbortSignal
  /** The weights' format, instead of what suits the machine. */
  readonly weights?: WeightFormat
}): Promise<StandaloneGenerator> {
  await using parts = new AsyncDisposableStack()
  const ledger = parts.use(await openLedger(init.directory))
  await ledger.ledger.recover()
  const logger = parts.adopt(openLogFile(init.directory.logFile, 'info'), (log) => log.close())
  const model = await openModelStore(init.directory).open(init.model)
  parts.defer(() => model.close())
  const span = { start: 0, end: model.manifest.config.blockCount }
  const compute = parts.use(openCompute(init, logger))
  const { backend, format } = await choose(compute, model.manifest, init.signal)
  const engine = await compute.engine(backend)
  const runner = await engine.loadSpan(model, span, { threads: availableParallelism(), format, signal: init.signal })
  parts.defer(() => runner.dispose())
  const patches = await openPatches(parts, init.directory)
  const { digest } = model.manifest
  const shelf = createOwnShelf(patches, digest, (weights) => runner.loadPatch(weights))
  const local = { modelDigest: digest, runner, patches: shelf }
  return finish(parts, { ...init, ledger, logger, compute, swarm: null, local, patches })
}

/** Joins the swarm as a client: it asks, and offers nothing. */
export async function openSwarmGenerator(init: {
  readonly directory: DataDirectory
  readonly model: string
  readonly bootstrap: readonly string[]
  readonly weights?: WeightFormat
}): Promise<StandaloneGenerator> {
  await using parts = new AsyncDisposableStack()
  const ledger = parts.use(await openLedger(init.directory))
  await ledger.ledger.recover()
  const logger = parts.adopt(openLogFile(init.directory.logFile, 'info'), (log) => log.close())
  // Only here: it takes longer to load than everything else, and a text made locally has no use for it.
  const { createLibp2pSwarm } = await import('#adapters/libp2p/swarm.ts')
  const { identity, verifier } = ledger
  const swarm = await createLibp2pSwarm(
    { identity, verifier, clock: systemClock, log: logger },
    // A client is not listened for; told whom to ask, it has no need to call out to the LAN.
    { ...networkOptions({ bootstrap: init.bootstrap }), listen: [], mdns: init.bootstrap.length === 0 },
  )
  await swarm.start()
  parts.defer(() => swarm.stop())
  const compute = parts.use(openCompute(init, logger))
  const patches = await openPatches(parts, init.directory)
  return finish(parts, { ...init, ledger, logger, compute, swarm, local: null, patches })
}

/** Somebody waits for the text: the worker does not stand back. */
function openCompute(init: { directory: DataDirectory; weights?: WeightFormat }, logger: Logger): AssembledCompute {
  const { directory, weights } = init
  return assembleCompute({ directory, logger, niceness: 0, ...(weights && { format: weights }) })
}

/** Those of the profile. */
async function openPatches(parts: AsyncDisposableStack, directory: DataDirectory): Promise<PatchProvider> {
  const library = parts.adopt(await openLibrary(directory), (opened) => opened.close())
  return createPatchProvider({ library, fetch: null })
}

async function choose(compute: AssembledCompute, manifest: ModelManifest, signal: AbortSignal): Promise<EngineInUse> {
  const { machineBytes } = await compute.calibrator.memory(usualPolicy)
  return await compute.choose(manifest, { threads: availableParallelism(), memoryBytes: machineBytes, signal })
}

function finish(parts: AsyncDisposableStack, built: Parts): StandaloneGenerator {
  const generator: Generator = createGenerator({
    models: openModelStore(built.directory),
    compute: built.compute,
    choose: (manifest, signal) => choose(built.compute, manifest, signal),
    swarm: built.swarm,
    patches: built.patches,
    selfId: built.ledger.peerId,
    ledger: built.ledger.ledger,
    clock: systemClock,
    logger: built.logger,
    newSessionId: randomUUID,
    drawSeed: () => randomInt(2 ** 32),
    local: () => built.local,
    threads: availableParallelism,
    onRecorded: () => undefined,
  })
  parts.defer(() => generator.stop())
  const owned = parts.move()
  return {
    generate: (request, signal) => generator.generate({ ...request, model: request.model ?? built.model }, signal),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
