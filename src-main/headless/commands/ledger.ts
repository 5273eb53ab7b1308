import type { Command } from 'commander'
import { integer } from '../options.ts'

/** `quiltbee ledger list|verify`: reads the ledger itself, whether a node runs or not. */
export function addLedger(program: Command): void {
  const ledger = program.command('ledger').description('what this node gave and got')
  ledger
    .command('list')
    .description('list entries, newest first')
    .option('--profile <name>', 'which node of this machine')
    .option('--limit <count>', 'how many', integer({ min: 1, max: 500 }), 50)
    .option('--json', 'print one JSON object')
    .action(async (options) => (await import('../actions/ledger.ts')).list(options))
  ledger
    .command('verify')
    .description('walk the whole chain: hashes, signatures, nothing missing')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object')
    .action(async (options) => (await import('../actions/ledger.ts')).verify(options))
}
