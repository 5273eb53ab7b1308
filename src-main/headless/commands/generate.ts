import { type Command, Option } from 'commander'
import { collect, decimal, integer, weightsOption } from '../options.ts'

/** `quiltbee generate`: text from a model, through the swarm or on this machine alone. */
export function addGenerate(program: Command): void {
  program
    .command('generate')
    .description('continue a text: through the running node, else through a swarm of its own, or on this machine alone')
    .option('--model <name>', 'name or digest of the model; the one the running node hosts, or the embedded one')
    .option('--prompt <text>', 'what to continue; empty starts a text', '')
    .option('--max-tokens <count>', 'most tokens to make', integer({ min: 1, max: 100_000 }), 256)
    .option('--temperature <value>', '0 always takes the likeliest token', decimal({ min: 0, max: 10 }), 0.8)
    .option(
      '--top-p <share>',
      'keep the likeliest tokens up to this probability',
      decimal({ min: 0.000001, max: 1 }),
      1,
    )
    .option(
      '--top-k <count>',
      'keep this many of the likeliest tokens; 0 keeps all',
      integer({ min: 0, max: 1 << 22 }),
      0,
    )
    .option('--seed <number>', 'the same seed gives the same text', integer({ min: 0, max: 0xffffffff }))
    .option('--stop <text>', 'end before this text (may be given again)', collect, [])
    .option('--patch <patch>', 'with this patch, a file or one of the library (may be given again)', collect, [])
    .option('--bootstrap <multiaddr>', 'a node to join the swarm through (may be given again)', collect, [])
    .addOption(new Option('--local', 'load all blocks here and use no peer').conflicts('bootstrap'))
    .addOption(weightsOption())
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object when done')
    .addOption(new Option('--events', 'print every event as a line of JSON, as it happens').conflicts('json'))
    .action(async (options) => (await import('../actions/generate.ts')).generate(options))
}
