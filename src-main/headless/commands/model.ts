import type { Command } from 'commander'

/** `quiltbee model import|list`. */
export function addModel(program: Command): void {
  const model = program.command('model').description('the base models on this machine')
  model
    .command('import <path>')
    .description('check and copy a model: a Hugging Face folder, or a llama2.c .bin file (or the folder that holds it)')
    .option('--name <name>', 'what to call it; by default the name of its folder or file')
    .option('--json', 'print one JSON object')
    .action(async (path, options) => (await import('../actions/model.ts')).importModel(path, options))
  model
    .command('list')
    .description('list the models that can be hosted or used here')
    .option('--json', 'print one JSON array')
    .action(async (options) => (await import('../actions/model.ts')).listModels(options))
}
