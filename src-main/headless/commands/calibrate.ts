import type { Command } from 'commander'
import { integer } from '../options.ts'

/** `quiltbee calibrate`: how fast this machine computes, and with what. */
export function addCalibrate(program: Command): void {
  program
    .command('calibrate')
    .description(
      "measure each backend of this machine with the model's shape, keep the result, and show what is picked",
    )
    .option('--model <name>', 'name or digest of the model; the embedded one when left out')
    .option('--threads <count>', 'processor threads to measure with', integer({ min: 1, max: 1024 }))
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object')
    .action(async (options) => (await import('../actions/calibrate.ts')).calibrate(options))
}
