import { type Command, Option } from 'commander'
import { headPolicies, maskQuotas, maskScopes, trainingMethods, valueFormats } from '#contracts/patch-file/header.ts'
import { collect, decimal, integer } from '../options.ts'

/** `quiltbee patch train`: from text to a patch. */
export function addPatchTrain(patch: Command): void {
  patch
    .command('train')
    .description('train a patch on your text, in the running node or here; the text stays on this machine')
    .requiredOption('--data <file...>', 'what to learn: text, Markdown, JSONL or CSV')
    .option('--model <name>', 'name or digest of the base; the embedded one when left out')
    .addOption(new Option('--method <name>', 'which numbers are trained').choices([...trainingMethods]).default('fish'))
    .option('--keep-ratio <share>', 'trained numbers over all of the model’s', decimal({ min: 1e-9, max: 1 }))
    .addOption(new Option('--quota <kind>', 'the best of all together, or a share of each').choices([...maskQuotas]))
    .addOption(new Option('--scope <kind>', 'all tensors, or the matrices of the blocks').choices([...maskScopes]))
    .addOption(new Option('--head <policy>', 'what becomes of an untied head').choices([...headPolicies]))
    .addOption(
      new Option('--fisher <kind>', 'of the text, or of the model’s own answers').choices(['empirical', 'true']),
    )
    .option('--fisher-examples <count>', 'examples the Fisher information is taken of', integer({ min: 1, max: 1e6 }))
    .option(
      '--trial-steps <count>',
      'steps of training everything before the choice, thrown away; 0 chooses by Fisher information alone',
      integer({ min: 0, max: 100_000 }),
    )
    .addOption(
      new Option('--shared-mask <digest>', 'take this mask, or this patch’s, and write values only').conflicts([
        ...['keepRatio', 'quota', 'scope', 'head', 'fisher', 'fisherExamples', 'trialSteps'],
      ]),
    )
    .option('--on <digest>', 'train on top of this patch (may be given again)', collect, [])
    .option('--steps <count>', 'optimizer steps', integer({ min: 1, max: 10_000_000 }))
    .option('--learning-rate <rate>', 'found by trying when left out', decimal({ min: 1e-12, max: 1e3 }))
    .option('--batch-size <count>', 'examples a step', integer({ min: 1, max: 65_536 }))
    .option('--sequence-length <count>', 'tokens of an example at most', integer({ min: 2, max: 1 << 20 }))
    .option('--seed <number>', 'the same seed gives the same patch', integer({ min: 0, max: 0xffffffff }))
    .option('--patience <count>', 'measurements without gain until it ends; 0 never', integer({ min: 0, max: 1_000 }))
    .option('--minutes <count>', 'train for so long at most', integer({ min: 1, max: 100_000 }))
    .option('--protect <what...>', 'keep the base from forgetting: none, own-text, or files of text of its kind')
    .option('--protect-share <share>', 'share of the steps’ examples for that', decimal({ min: 0.01, max: 0.9 }), 0.25)
    .option('--title <text>', 'what the patch is called; the first file’s name when left out')
    .option('--description <text>', 'for those who find it', '')
    .option('--licence <id>', 'SPDX identifier', 'CC0-1.0')
    .option('--data-description <text>', 'what the text is and where it comes from', '')
    .option('--data-licence <id>', 'of the text', '')
    .addOption(new Option('--values <format>', 'how numbers are stored').choices([...valueFormats]).default('int8'))
    .option('--include-fisher', 'tell the Fisher information, for merging')
    .option('--out <file>', 'write the patch there, too')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object when done')
    .addOption(new Option('--events', 'print every change as a line of JSON, as it happens').conflicts('json'))
    .addHelpText('after', trainHelpEnd)
    .action(async (options) => (await import('../actions/patch-train.ts')).trainPatch(options))
}

const trainHelpEnd = `
With a node running, Ctrl-C leaves the run to it; without one, the run is paused: "quiltbee run resume" goes on.
Environment: SOURCE_DATE_EPOCH, the patch's date in seconds, for files that come out the same byte for byte.`
