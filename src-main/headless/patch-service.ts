/** Who answers a command about the profile's patches: the node that runs on the profile, else this process. */
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import type { PatchDesk } from '#app/patch-desk.ts'
import { connectToRunningNode, type NodeConnection } from './node-client.ts'

type Asked = 'list' | 'search' | 'fetch' | 'share' | 'remove' | 'tag' | 'follow' | 'import'

export interface PatchService extends AsyncDisposable, Pick<PatchDesk, Asked> {
  readonly where: 'node' | 'here'
}

/** `bootstrap`: the command needs the swarm, through these nodes or the LAN; left out, it asks only about what is here. */
export async function openPatchService(
  directory: DataDirectory,
  options: { readonly bootstrap?: readonly string[] } = {},
): Promise<PatchService> {
  const connection = await connectToRunningNode(directory)
  if (connection !== null) {
    if ((options.bootstrap ?? []).length > 0) {
      process.stderr.write('A node runs on this profile: its swarm is used, --bootstrap has no effect.\n')
    }
    return ofNode(connection)
  }
  const { openStandalonePatches } = await import('#assembly/standalone-patches.ts')
  const standalone = await openStandalonePatches(directory, options)
  return { where: 'here', ...standalone.desk, [Symbol.asyncDispose]: () => standalone[Symbol.asyncDispose]() }
}

function ofNode({ client, close }: NodeConnection): PatchService {
  const { patches } = client
  return {
    where: 'node',
    list: (request) => patches.list(request),
    search: (request, signal) => patches.search(request, signal && { signal }),
    async *fetch(patch, signal) {
      yield* await patches.fetch({ patch }, signal && { signal })
    },
    share: (patch, shared) => patches.share({ patch, shared }),
    remove: async (patch) => void (await patches.remove({ patch })),
    tag: async (tag, patch) => void (await patches.tag({ tag, patch })),
    follow: async (request) => void (await patches.follow(request)),
    import: (request, signal) => patches.import(request, signal && { signal }),
    [Symbol.asyncDispose]: async () => close(),
  }
}
