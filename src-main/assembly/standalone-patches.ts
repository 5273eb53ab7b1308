/** The patches of a profile from a terminal with no node running: what is here, and the swarm for as long as a command lasts. */
import { createDataDirectory, type DataDirectory } from '#adapters/files/data-directory.ts'
import { openLogFile } from '#adapters/files/log-file.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { loadOrCreateIdentity } from '#adapters/keys/identity-file.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import type { PatchDesk } from '#app/patch-desk.ts'
import { createPatchDesk } from '#app/patches/create-patch-desk.ts'
import { createPatchFetcher } from '#core/exchange/patch-fetcher.ts'
import type { PatchExchange } from '#core/ports/patch-exchange.ts'
import { openModelStore, openPatchInterop } from './model-store.ts'
import { networkOptions } from './network-options.ts'
import { openLibrary } from './patch-library.ts'

export interface StandalonePatches extends AsyncDisposable {
  readonly desk: PatchDesk
}

/** With `bootstrap`, this process joins the swarm as a client; without, nothing is found or fetched. */
export async function openStandalonePatches(
  directory: DataDirectory,
  options: { readonly bootstrap?: readonly string[] } = {},
): Promise<StandalonePatches> {
  await using parts = new AsyncDisposableStack()
  createDataDirectory(directory)
  const logger = parts.adopt(openLogFile(directory.logFile, 'info'), (log) => log.close())
  const identity = await loadOrCreateIdentity(directory.profileDirectory)
  const verifier = createSignatureVerifier()
  const clock = systemClock
  const library = parts.adopt(await openLibrary(directory, logger), (opened) => opened.close())

  async function join(bootstrap: readonly string[]): Promise<PatchExchange> {
    // Only here: it takes longer to load than everything else.
    const { createLibp2pSwarm } = await import('#adapters/libp2p/swarm.ts')
    const swarm = await createLibp2pSwarm(
      { identity, verifier, clock, log: logger },
      // A client is not listened for; told whom to ask, it has no need to call out to the LAN.
      { ...networkOptions({ bootstrap }), listen: [], mdns: bootstrap.length === 0 },
    )
    await swarm.start()
    parts.defer(() => swarm.stop())
    return swarm.patches
  }

  const exchange = options.bootstrap === undefined ? null : await join(options.bootstrap)
  const desk = createPatchDesk({
    library,
    exchange,
    fetcher: exchange && createPatchFetcher({ exchange, library, verifier, clock }),
    models: openModelStore(directory),
    interop: openPatchInterop(directory),
    identity,
    verifier,
    clock,
    logger,
    authorName: async () => '',
  })
  parts.defer(() => desk.stop())
  const owned = parts.move()
  return { desk, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
