import { type Command, Option } from 'commander'
import { weightFormats } from '#core/ports/engine.ts'

/** `quiltbee model import|download|list|quantize|cache`. */
export function addModel(program: Command): void {
  const model = program.command('model').description('the base models on this machine')
  model
    .command('import <path>')
    .description(
      'check and copy a model: a Hugging Face folder, a .gguf file, or a llama2.c .bin file (or the folder that holds it)',
    )
    .option('--name <name>', 'what to call it; by default the name of its folder or file')
    .option('--json', 'print one JSON object')
    .action(async (path, options) => (await import('../actions/model.ts')).importModel(path, options))
  model
    .command('download <owner/name>')
    .description('fetch a model from a Hugging Face hub and import it; run again, it goes on where it stopped')
    .option('--revision <name>', 'a branch, tag or commit; the main branch when left out')
    .option('--file <path>', 'one GGUF file of those that are there')
    .option('--name <name>', 'what to call it; by default the name it has there')
    .option('--json', 'print one JSON object')
    .action(async (name, options) => (await import('../actions/model-download.ts')).downloadFromHub(name, options))
    .addHelpText('after', downloadHelpEnd)
  model
    .command('list')
    .description('list the models that can be hosted or used here')
    .option('--json', 'print one JSON array')
    .action(async (options) => (await import('../actions/model.ts')).listModels(options))
  model
    .command('quantize <name>')
    .description(
      'prepare the weights of a model in a format, for faster starts; run again, it goes on where it stopped',
    )
    .addOption(new Option('--weights <format>', 'how weights are held').choices(weightFormats).makeOptionMandatory())
    .option('--json', 'print one JSON object')
    .action(async (name, options) => (await import('../actions/model-quantize.ts')).quantizeModel(name, options))
  model
    .command('cache')
    .description('show what weights prepared for engines take on disk; they are made again when they are needed')
    .option('--clear', 'remove them')
    .option('--json', 'print one JSON object')
    .action(async (options) => (await import('../actions/model-cache.ts')).showCache(options))
}

const downloadHelpEnd = `
Environment: HF_TOKEN, an access token for models that are not public; HF_ENDPOINT, the address of another hub.`
