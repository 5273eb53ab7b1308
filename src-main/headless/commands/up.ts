import type { Command } from 'commander'
import { blocks, collect, integer, usualUiPort, weightsOption } from '../options.ts'

/** `quiltbee up`: a node in the foreground, with its UI in a browser. */
export function addUp(program: Command): void {
  program
    .command('up')
    .description('run a node in the foreground: host blocks of a model, and serve the UI on this machine')
    .addOption(weightsOption())
    .option('--profile <name>', 'which node of this machine; each has its own data, key and ports')
    .option('--model <name>', 'name or digest of the model to host; the embedded one when left out')
    .option('--blocks <range>', 'which blocks to host: START:END, or auto', blocks, 'auto')
    .option('--listen <multiaddr>', 'where other nodes reach this one (may be given again)', collect, [])
    .option('--bootstrap <multiaddr>', 'a node to join the swarm through (may be given again)', collect, [])
    .option('--no-mdns', 'do not look for nodes on the local network')
    .option(
      '--ui-port <port>',
      `port of the UI on 127.0.0.1; 0 takes any (default: ${usualUiPort}, or any when taken)`,
      integer({ min: 0, max: 65535 }),
    )
    .option('--json', 'print JSON objects, one a line')
    .action(async (options) => (await import('../actions/up.ts')).up(options))
}
