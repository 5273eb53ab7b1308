import type { Command } from 'commander'

/** `quiltbee detect`: what this machine has. */
export function addDetect(program: Command): void {
  program
    .command('detect')
    .description('show the processor, memory, GPUs, disk and battery of this machine')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object')
    .action(async (options) => (await import('../actions/detect.ts')).detect(options))
}
