import type { Command } from 'commander'
import { collect, integer } from '../options.ts'

/** `quiltbee patch list|publish|unpublish|search|fetch|remove|tag|follow|unfollow`: patches here and in the swarm. */
export function addPatchExchange(patch: Command): void {
  const verb = (name: string, description: string) =>
    patch
      .command(name)
      .description(description)
      .option('--profile <name>', 'which node of this machine')
      .option('--json', 'print one JSON object')
  const actions = () => import('../actions/patch-exchange.ts')
  const inSwarm = (command: Command) =>
    command.option('--bootstrap <multiaddr>', 'a node to join the swarm through (may be given again)', collect, [])

  verb('list', 'the patches on this machine, and the room they take')
    .option('--model <name>', 'only those for this base')
    .action(async (options) => (await actions()).listPatches(options))
  verb('publish <patch>', 'offer a patch to the swarm, whenever a node runs on this profile').action(
    async (name, options) => (await actions()).publishPatch(name, true, options),
  )
  verb('unpublish <patch>', 'offer it no longer; who has fetched it keeps it').action(async (name, options) =>
    (await actions()).publishPatch(name, false, options),
  )
  inSwarm(verb('search', 'find patches that others offer: through the running node, else by joining the swarm'))
    .option('--model <name>', 'for this base; for every base that is here when left out')
    .option('--timeout <seconds>', 'how long to listen', integer({ min: 1, max: 60 }), 10)
    .action(async (options) => (await actions()).searchPatches(options))
  inSwarm(verb('fetch <patch>', 'fetch a patch and check it; run again, it goes on where it stopped')).action(
    async (name, options) => (await actions()).fetchFromSwarm(name, options),
  )
  verb('remove <patch>', 'take a patch off this machine').action(async (name, options) =>
    (await actions()).removePatch(name, options),
  )
  verb('tag <tag> [patch]', 'give a patch a name of yours; without a patch, take the name away').action(
    async (tag, name, options) => (await actions()).tagPatch(tag, name, options),
  )
  verb('follow <peer>', 'show an author’s patches first')
    .option('--name <text>', 'what to call them', '')
    .action(async (peerId, options) => (await actions()).followAuthor(peerId, true, options))
  verb('unfollow <peer>', 'an author’s patches are like any other’s again').action(async (peerId, options) =>
    (await actions()).followAuthor(peerId, false, options),
  )
}
