import type { Command } from 'commander'

/** `quiltbee swarm status`: what the node that runs on this machine knows of its swarm. */
export function addSwarm(program: Command): void {
  const swarm = program.command('swarm').description('the swarm, as the running node sees it')
  swarm
    .command('status')
    .description('show the peers, and who holds which blocks')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object')
    .action(async (options) => (await import('../actions/swarm.ts')).showStatus(options))
}
