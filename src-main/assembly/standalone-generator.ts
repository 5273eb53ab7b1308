/** Generating from a terminal with no node running: on this machine alone, or as a client that joins a swarm for one text. */
import { randomInt, randomUUID } from 'node:crypto'
import { availableParallelism } from 'node:os'
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import { openLogFile } from '#adapters/files/log-file.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createGenerator, type Generator, type LocalBlocks } from '#app/generator.ts'
import type { GenerateEvent, GenerateRequest } from '#contracts/api/chat.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { Swarm } from '#core/ports/swarm.ts'
import { createOnnxRuntimeEngine } from '#engines/onnxruntime/onnxruntime-engine.ts'
import { type OpenLedger, openLedger } from './ledger.ts'
import { openModelStore } from './model-store.ts'
import { networkOptions } from './network-options.ts'

export interface StandaloneGenerator extends AsyncDisposable {
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<GenerateEvent, void, undefined>
}

interface Parts {
  readonly directory: DataDirectory
  readonly model: string
  readonly ledger: OpenLedger
  readonly logger: Logger
  readonly swarm: Swarm | null
  readonly local: LocalBlocks | null
}

/** Loads all of the model's blocks here. */
export async function openLocalGenerator(init: {
  readonly directory: DataDirectory
  readonly model: string
  readonly signal: AbortSignal
}): Promise<StandaloneGenerator> {
  await using parts = new AsyncDisposableStack()
  const ledger = parts.use(await openLedger(init.directory))
  await ledger.ledger.recover()
  const logger = parts.adopt(openLogFile(init.directory.logFile, 'info'), (log) => log.close())
  const model = await openModelStore(init.directory).open(init.model)
  parts.defer(() => model.close())
  const span = { start: 0, end: model.manifest.config.blockCount }
  const threads = availableParallelism()
  const runner = await createOnnxRuntimeEngine().loadSpan(model, span, { threads, signal: init.signal })
  parts.defer(() => runner.dispose())
  return finish(parts, { ...init, ledger, logger, swarm: null, local: { modelDigest: model.manifest.digest, runner } })
}

/** Joins the swarm as a client: it asks, and offers nothing. */
export async function openSwarmGenerator(init: {
  readonly directory: DataDirectory
  readonly model: string
  readonly bootstrap: readonly string[]
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
  return finish(parts, { ...init, ledger, logger, swarm, local: null })
}

function finish(parts: AsyncDisposableStack, built: Parts): StandaloneGenerator {
  const generator: Generator = createGenerator({
    models: openModelStore(built.directory),
    engine: createOnnxRuntimeEngine(),
    swarm: built.swarm,
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
